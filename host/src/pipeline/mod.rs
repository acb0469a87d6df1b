//! From a pipeline file to something that can run: its components admitted, its columns planned, each function started
//! once to see that it takes its configuration.

pub mod config;
pub mod place;
pub mod plan;
pub mod shape;
pub mod stages;
pub mod topics;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use bytesize::ByteSize;
use config::{FunctionConfig, Output, PipelineConfig, RowStepKind, WindowStepKind};
use plan::{Plan, PlanError, Signature};

use crate::decode::{Decoder, DecoderError, EventTime, TimeUnit};
use crate::plugin::{
    AdmissionError, AggregateInstance, FilterInstance, GuestFailure, Kind, Limits, MapInstance,
    NativeFunction, Plugin, PluginEngine, WindowApplyInstance,
};
use crate::sample::{self, NotProved};

/// Why a pipeline can't run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A component is not admitted.
    #[error("step {step}: {source}")]
    Admission {
        /// The step.
        step: String,
        /// Why not.
        source: AdmissionError,
    },
    /// A component is of another kind than its step.
    #[error("step {step}: {file} is a {} component, and the step says {}", .is.world(), .wanted.world())]
    Kind {
        /// The step.
        step: String,
        /// The component file.
        file: String,
        /// What the component is.
        is: Kind,
        /// What the step wants.
        wanted: Kind,
    },
    /// A function did not start, mostly because of its configuration.
    #[error("step {step}: {source}")]
    Function {
        /// The step.
        step: String,
        /// What happened.
        source: Box<GuestFailure>,
    },
    /// A component does not stand the test of the sample that it carries.
    #[error("step {step}: {source}")]
    Sample {
        /// The step.
        step: String,
        /// What came out.
        source: Box<NotProved>,
    },
    /// The steps do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A field can't be read from the source.
    #[error("the source does not fit the steps: {0}")]
    Decoder(#[from] DecoderError),
}

/// A function of a pipeline: its step's settings and the component that was admitted for it.
#[derive(Clone)]
pub struct Function {
    /// The pipeline's name.
    pipeline: String,
    config: FunctionConfig,
    plugin: Plugin,
    settings: String,
}

impl Function {
    fn load(
        engine: &PluginEngine,
        pipeline: &str,
        config: &FunctionConfig,
        wanted: Kind,
    ) -> Result<Self, PrepareError> {
        let step = || config.name.clone();
        let limits = config.limits.into();
        let plugin = Plugin::load(engine, &config.component, limits).map_err(|source| {
            PrepareError::Admission {
                step: step(),
                source,
            }
        })?;
        Self::of(plugin, pipeline, config, wanted, engine)
    }

    fn of(
        plugin: Plugin,
        pipeline: &str,
        config: &FunctionConfig,
        wanted: Kind,
        engine: &PluginEngine,
    ) -> Result<Self, PrepareError> {
        let step = || config.name.clone();
        if plugin.kind() != wanted {
            return Err(PrepareError::Kind {
                step: step(),
                file: config.component.display().to_string(),
                is: plugin.kind(),
                wanted,
            });
        }
        let function = Self {
            pipeline: pipeline.to_owned(),
            config: config.clone(),
            plugin: plugin.placed(engine, pipeline, &config.name),
            settings: config.settings.to_json(),
        };
        function
            .start(engine, wanted)
            .map_err(|source| PrepareError::Function {
                step: step(),
                source: Box::new(source),
            })?;
        Ok(function)
    }

    /// The same function with another component of its kind.
    ///
    /// # Errors
    /// If the component is not admitted, does not stand the test of the sample that it carries, is of another kind, or does not take
    /// the step's configuration.
    pub fn with_component(
        &self,
        component: &[u8],
        engine: &PluginEngine,
    ) -> Result<Self, PrepareError> {
        let label = Path::new("the component deployed");
        let limits = self.config.limits.into();
        let plugin = Plugin::from_bytes(engine, label, component, limits);
        let plugin = plugin.map_err(|source| PrepareError::Admission {
            step: self.config.name.clone(),
            source,
        })?;
        sample::prove(engine, &plugin, limits).map_err(|source| PrepareError::Sample {
            step: self.config.name.clone(),
            source: Box::new(source),
        })?;
        let kind = self.plugin.kind();
        Self::of(plugin, &self.pipeline, &self.config, kind, engine)
    }

    /// Starts an instance and lets it go: whether it takes its configuration is known before any row is read.
    fn start(&self, engine: &PluginEngine, kind: Kind) -> Result<(), GuestFailure> {
        match kind {
            Kind::Filter => self.filter(engine).map(drop),
            Kind::Map => self.map(engine).map(drop),
            Kind::Aggregate => self.aggregate(engine).map(drop),
            Kind::WindowApply => self.window_apply(engine).map(drop),
        }
    }

    /// The step's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// How the pipeline's file has it.
    pub fn config(&self) -> &FunctionConfig {
        &self.config
    }

    /// The component.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// A fresh instance of a filter.
    ///
    /// # Errors
    /// If it is none, or fails to start.
    pub fn filter(&self, engine: &PluginEngine) -> Result<FilterInstance, GuestFailure> {
        FilterInstance::start(
            engine,
            &self.plugin,
            &self.settings,
            self.config.limits.into(),
        )
    }

    /// A fresh instance of a map.
    ///
    /// # Errors
    /// If it is none, or fails to start.
    pub fn map(&self, engine: &PluginEngine) -> Result<MapInstance, GuestFailure> {
        MapInstance::start(
            engine,
            &self.plugin,
            &self.settings,
            self.config.limits.into(),
        )
    }

    /// A fresh instance of an aggregate.
    ///
    /// # Errors
    /// If it is none, or fails to start.
    pub fn aggregate(&self, engine: &PluginEngine) -> Result<AggregateInstance, GuestFailure> {
        AggregateInstance::start(
            engine,
            &self.plugin,
            &self.settings,
            self.config.limits.into(),
        )
    }

    /// A fresh instance of a window-apply function.
    ///
    /// # Errors
    /// If it is none, or fails to start.
    pub fn window_apply(&self, engine: &PluginEngine) -> Result<WindowApplyInstance, GuestFailure> {
        WindowApplyInstance::start(
            engine,
            &self.plugin,
            &self.settings,
            self.config.limits.into(),
        )
    }
}

impl From<config::Limits> for Limits {
    fn from(limits: config::Limits) -> Self {
        let bytes = |size: ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        // Zero is refused where the file is read.
        let at_least_one = |count: u64| {
            NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
        };
        Self {
            memory: bytes(limits.memory),
            call: limits.call,
            table_entries: limits.table_entries as usize,
            core_instances: limits.core_instances as usize,
            host_calls: limits.host_calls,
            log_messages: at_least_one(limits.log_messages_per_second.into()),
            log_bytes: at_least_one(limits.log_bytes_per_second.as_u64()),
            output_rows: limits.output_rows as usize,
            output_bytes: bytes(limits.output_bytes),
        }
    }
}

/// A pipeline that can run. Cheap to clone next to what its components take, which clones share.
#[derive(Clone)]
pub struct Pipeline {
    config: PipelineConfig,
    functions: Vec<Function>,
    plan: Plan,
}

impl Pipeline {
    /// Admits the components, plans the columns and starts each function once. Touches no log.
    ///
    /// # Errors
    /// With the first thing that does not fit.
    pub fn prepare(config: PipelineConfig, engine: &PluginEngine) -> Result<Self, PrepareError> {
        let mut functions = Vec::new();
        for step in &config.steps {
            let kind = match step.kind {
                RowStepKind::Filter => Kind::Filter,
                RowStepKind::Map { .. } => Kind::Map,
            };
            functions.push(Function::load(engine, &config.name, &step.function, kind)?);
        }
        if let Output::Windows(step) = &config.output {
            let kind = match step.kind {
                WindowStepKind::Aggregate => Kind::Aggregate,
                WindowStepKind::WindowApply => Kind::WindowApply,
            };
            functions.push(Function::load(engine, &config.name, &step.function, kind)?);
        }
        Self::of(config, functions)
    }

    /// The same functions in a pipeline that reads, writes and keeps elsewhere; its steps must be the same.
    #[must_use]
    pub(crate) fn with_config(&self, config: PipelineConfig, engine: &PluginEngine) -> Self {
        let mut pipeline = self.clone();
        for function in &mut pipeline.functions {
            function.pipeline.clone_from(&config.name);
            let step = &function.config.name;
            let plugin = function.plugin.clone();
            function.plugin = plugin.placed(engine, &config.name, step);
        }
        pipeline.config = config;
        pipeline
    }

    /// The same pipeline with another component in the function of this number.
    ///
    /// # Errors
    /// With the first thing that does not fit.
    pub fn with_component(
        &self,
        number: usize,
        component: &[u8],
        engine: &PluginEngine,
    ) -> Result<Self, PrepareError> {
        let function = self.functions[number].with_component(component, engine)?;
        self.with_functions(BTreeMap::from([(number, function)]))
    }

    /// The same pipeline with a function of the program in the place of a step's component.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn with_native(
        &self,
        number: usize,
        function: NativeFunction,
        engine: &PluginEngine,
    ) -> Result<Self, PrepareError> {
        let old = &self.functions[number];
        let (plugin, kind) = (Plugin::native(function), old.plugin.kind());
        let function = Function::of(plugin, &old.pipeline, &old.config, kind, engine)?;
        self.with_functions(BTreeMap::from([(number, function)]))
    }

    /// The same pipeline with other functions in the places of these numbers.
    ///
    /// # Errors
    /// If they do not fit the others.
    pub fn with_functions(
        &self,
        replaced: BTreeMap<usize, Function>,
    ) -> Result<Self, PrepareError> {
        let mut functions = self.functions.clone();
        for (number, function) in replaced {
            functions[number] = function;
        }
        Self::of(self.config.clone(), functions)
    }

    fn of(config: PipelineConfig, functions: Vec<Function>) -> Result<Self, PrepareError> {
        let signatures: Vec<Signature> = functions
            .iter()
            .map(|function| Signature {
                reads: function.plugin.reads().to_vec(),
                produces: function.plugin.produces().to_vec(),
            })
            .collect();
        let plan = plan::plan(&config, &signatures)?;
        let pipeline = Self {
            config,
            functions,
            plan,
        };
        pipeline.decoder()?;
        Ok(pipeline)
    }

    /// A fresh decoder of the source.
    ///
    /// # Errors
    /// If the source's format does not have a field that a step wants.
    pub fn decoder(&self) -> Result<Decoder, DecoderError> {
        let source = &self.config.source;
        let decoder = Decoder::new(
            source.format,
            source.event_time.clone(),
            self.plan.decoded.clone(),
        )?;
        let Some(field) = source.watermark_field.clone() else {
            return Ok(decoder);
        };
        let unit = match source.event_time {
            // As the log has it.
            EventTime::Record => TimeUnit::Millis,
            EventTime::Field { unit, .. } => unit,
        };
        decoder.with_watermarks(field, unit)
    }

    /// What the pipeline file says.
    pub fn config(&self) -> &PipelineConfig {
        &self.config
    }

    /// Which columns go where.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The functions: those of the row steps in order, then that of the window step if there is one.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }
}
