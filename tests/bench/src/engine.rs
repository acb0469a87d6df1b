//! The engine of Millstream in this process, with `unique-visitors` as Rust in the place of the component: the same windows, state and
//! commits without the sandbox, so that its price can be seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::{BinaryArray, Int64Array};
use millstream::log::kafka::KafkaLog;
use millstream::pipeline::{Pipeline, config};
use millstream::plugin::{
    CodeCache, NativeAggregate, NativeFunction, PluginEngine, Produced, RowErrors,
};
use millstream::rows::{Field, FieldType, Rows};
use millstream::state::InstanceFolder;
use millstream::time::SystemClock;
use millstream::worker::{Rollout, Team};
use millstream_sdk::accumulate::{Accumulator as _, ExactSet};

/// What is run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The pipeline's file, with one step, whose component is replaced
    #[arg(long)]
    pipeline: PathBuf,
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    state: PathBuf,
}

/// Runs the pipeline until the process is ended.
pub(crate) fn run(args: &Args) -> Result<()> {
    let text = std::fs::read_to_string(&args.pipeline)?;
    let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let config = config::parse(&text, &|_| None, &no_file)?;
    let engine = PluginEngine::new()?;
    let engine = match std::env::var_os("MILLSTREAM_CODE_CACHE") {
        Some(folder) => engine.with_cache(CodeCache::open(Path::new(&folder))?),
        None => engine,
    };
    let pipeline = Pipeline::prepare(config, &engine)?.with_native(0, visitors(), &engine)?;
    let settings = [("bootstrap.servers".to_owned(), args.bootstrap.clone())];
    let log = KafkaLog::new(BTreeMap::from(settings))?;
    let folder = InstanceFolder::claim(&args.state, &pipeline.config().name)?;
    let team = Team::new(pipeline.config().workers, Arc::new(AtomicBool::new(false)));
    let rollout = Rollout::fixed(pipeline);
    team.run(&rollout, &engine, &log, &SystemClock::new(), &folder, None)
        .context("the engine")
}

fn visitors() -> NativeFunction {
    let field = |name: &str, ty| Field {
        name: name.to_owned(),
        ty,
        optional: false,
    };
    NativeFunction {
        name: "unique-visitors".to_owned(),
        version: "0.1.0".to_owned(),
        reads: vec![field("user_id", FieldType::Text)],
        produces: vec![field("unique_visitors", FieldType::Int64)],
        state_version: 1,
        start: Arc::new(|| Box::new(Visitors::default())),
    }
}

/// What the component does, with the sets that it has.
#[derive(Default)]
struct Visitors {
    sets: Vec<ExactSet>,
    buffer: Vec<u8>,
}

impl Visitors {
    fn set(&mut self, slot: u32) -> &mut ExactSet {
        let slot = slot as usize;
        if slot >= self.sets.len() {
            self.sets.resize_with(slot + 1, ExactSet::default);
        }
        &mut self.sets[slot]
    }

    fn partials(
        &mut self,
        slots: &[u32],
        write: impl Fn(&mut ExactSet, &mut Vec<u8>),
    ) -> BinaryArray {
        let mut partials = BinaryBuilder::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        for slot in slots {
            buffer.clear();
            write(self.set(*slot), &mut buffer);
            partials.append_value(&buffer);
        }
        self.buffer = buffer;
        partials.finish()
    }
}

impl NativeAggregate for Visitors {
    fn accumulate(&mut self, slots: &[u32], rows: &Rows, select: &[usize]) -> RowErrors {
        let users = rows.columns[select[0]].as_string::<i32>();
        for (row, slot) in slots.iter().enumerate() {
            self.set(*slot).insert(users.value(row));
        }
        RowErrors::default()
    }

    fn merge(&mut self, slots: &[u32], partials: &BinaryArray) -> Result<(), String> {
        let mut pairs = slots.iter().zip(partials.iter());
        pairs.try_for_each(|(slot, partial)| {
            let merged = self.set(*slot).merge(partial.unwrap_or_default());
            merged.map_err(|error| error.to_string())
        })
    }

    fn take_deltas(&mut self, slots: &[u32]) -> BinaryArray {
        self.partials(slots, ExactSet::take_delta)
    }

    fn snapshot(&mut self, slots: &[u32]) -> BinaryArray {
        self.partials(slots, |set, out| set.snapshot(out))
    }

    fn finish(&mut self, slots: &[u32]) -> Produced {
        let counts = slots.iter().map(|slot| self.set(*slot).len() as i64);
        let column = Arc::new(Int64Array::from_iter_values(counts));
        Produced {
            source: (0..).take(slots.len()).collect(),
            rows: Rows::new(slots.len(), vec![column]),
        }
    }

    fn close(&mut self, slots: &[u32]) {
        for slot in slots {
            *self.set(*slot) = ExactSet::default();
        }
    }
}
