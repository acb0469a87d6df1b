//! From a function to a component: the exports of the contract, for whatever type carries an attribute.
//!
//! The attribute implements [`Component`] for the author's type and, in a component only, exports
//! [`Exported`]. Everything here also compiles natively, so that it is tested without a host.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::thread::LocalKey;

use crate::bindings::aggregate::exports::millstream::udf::aggregate_function;
use crate::bindings::aggregate_migration::exports::millstream::udf::aggregate_migration;
pub use crate::bindings::common::exports::millstream::udf::plugin::{
    Description, Guest as Plugin, Kind,
};
use crate::bindings::filter::exports::millstream::udf::filter_function;
use crate::bindings::map::exports::millstream::udf::map_function;
use crate::bindings::window_apply::exports::millstream::udf::window_apply_function;
use crate::column::wire::{Batch, Produced, RowErrors, VarValues};
use crate::column::{ContractError, FieldSpec};
use crate::function::aggregate::Aggregate;
use crate::function::configure;
use crate::function::filter::{self, Filter};
use crate::function::map::{self, Map};
use crate::function::migration;
pub use crate::function::migration::{Migrate, Migration, migrate_state};
use crate::function::slots::Slots;
use crate::function::window_apply::{self, Window, WindowApply};
use crate::output::Output;
use crate::row::Row;

/// A type that carries one of the attributes.
pub trait Component: Sized + 'static {
    /// Its kind, with what an instance keeps.
    type Instance: Instance;
    /// The crate's name.
    const NAME: &'static str;
    /// The crate's version.
    const VERSION: &'static str;
    /// The version of its partials.
    const STATE_VERSION: u32;

    /// Where the instance lives. A component has one thread.
    fn cell() -> &'static LocalKey<RefCell<Option<Self::Instance>>>;
}

/// A function that has been set up, as one of the four kinds.
pub trait Instance: Sized + 'static {
    /// The kind.
    const KIND: Kind;
    /// The fields that it reads.
    const READS: &'static [FieldSpec];
    /// The fields that it produces.
    const PRODUCES: &'static [FieldSpec];

    /// Sets the function up from its configuration, a JSON object.
    ///
    /// # Errors
    /// If the configuration is refused.
    fn init(config: &str) -> Result<Self, String>;
}

/// An instance of a filter.
pub struct FilterInstance<F>(F);

impl<F: Filter> Instance for FilterInstance<F> {
    const KIND: Kind = Kind::Filter;
    const READS: &'static [FieldSpec] = <F::Row<'static> as Row<'static>>::FIELDS;
    const PRODUCES: &'static [FieldSpec] = &[];

    fn init(config: &str) -> Result<Self, String> {
        configure(config, F::new).map(Self)
    }
}

/// An instance of a map.
pub struct MapInstance<F>(F);

impl<F: Map> Instance for MapInstance<F> {
    const KIND: Kind = Kind::Map;
    const READS: &'static [FieldSpec] = <F::Row<'static> as Row<'static>>::FIELDS;
    const PRODUCES: &'static [FieldSpec] = <F::Output<'static> as Output>::FIELDS;

    fn init(config: &str) -> Result<Self, String> {
        configure(config, F::new).map(Self)
    }
}

/// An instance of an aggregate, with its slots.
pub struct AggregateInstance<F: Aggregate>(Slots<F>);

impl<F: Aggregate> Instance for AggregateInstance<F> {
    const KIND: Kind = Kind::Aggregate;
    const READS: &'static [FieldSpec] = <F::Row<'static> as Row<'static>>::FIELDS;
    const PRODUCES: &'static [FieldSpec] = <F::Output<'static> as Output>::FIELDS;

    fn init(config: &str) -> Result<Self, String> {
        configure(config, F::new).map(|function| Self(Slots::new(function)))
    }
}

/// An instance of a function of windows.
pub struct WindowApplyInstance<F>(F);

impl<F: WindowApply> Instance for WindowApplyInstance<F> {
    const KIND: Kind = Kind::WindowApply;
    const READS: &'static [FieldSpec] = <F::Row<'static> as Row<'static>>::FIELDS;
    const PRODUCES: &'static [FieldSpec] = <F::Output<'static> as Output>::FIELDS;

    fn init(config: &str) -> Result<Self, String> {
        configure(config, F::new).map(Self)
    }
}

/// What is exported for a component.
pub struct Exported<C>(PhantomData<C>);

impl<C: Component> Plugin for Exported<C> {
    fn describe() -> Description {
        Description {
            name: C::NAME.to_owned(),
            version: C::VERSION.to_owned(),
            kind: C::Instance::KIND,
            reads: C::Instance::READS.iter().map(Into::into).collect(),
            produces: C::Instance::PRODUCES.iter().map(Into::into).collect(),
            state_version: C::STATE_VERSION,
        }
    }

    fn init(config: String) -> Result<(), String> {
        report_panics();
        let instance = C::Instance::init(&config)?;
        C::cell().set(Some(instance));
        Ok(())
    }
}

impl<C, F> filter_function::Guest for Exported<C>
where
    C: Component<Instance = FilterInstance<F>>,
    F: Filter,
{
    fn filter(rows: Batch) -> filter_function::Selection {
        with::<C, _>(|FilterInstance(function)| filter::run(function, &rows))
    }
}

impl<C, F> map_function::Guest for Exported<C>
where
    C: Component<Instance = MapInstance<F>>,
    F: Map,
{
    fn map(rows: Batch) -> map_function::Mapped {
        with::<C, _>(|MapInstance(function)| map::run(function, &rows))
    }
}

impl<C, F> aggregate_function::Guest for Exported<C>
where
    C: Component<Instance = AggregateInstance<F>>,
    F: Aggregate,
{
    fn accumulate(slots: Vec<u32>, rows: Batch) -> RowErrors {
        with::<C, _>(|AggregateInstance(state)| state.accumulate(&slots, &rows))
    }

    fn merge(slots: Vec<u32>, partials: VarValues) -> Result<(), String> {
        with::<C, _>(|AggregateInstance(state)| {
            Ok(state.merge(&slots, &partials).map_err(|error| error.0))
        })
    }

    fn take_deltas(slots: Vec<u32>) -> VarValues {
        with::<C, _>(|AggregateInstance(state)| state.take_deltas(&slots))
    }

    fn snapshot(slots: Vec<u32>) -> VarValues {
        with::<C, _>(|AggregateInstance(state)| state.snapshot(&slots))
    }

    fn finish(slots: Vec<u32>) -> Produced {
        with::<C, _>(|AggregateInstance(state)| state.finish(&slots))
    }

    fn close(slots: Vec<u32>) {
        with::<C, _>(|AggregateInstance(state)| state.close(&slots));
    }
}

impl<C: Migration> aggregate_migration::Guest for Exported<C> {
    fn from_versions() -> Vec<u32> {
        migration::versions::<C>()
    }

    fn migrate(from_version: u32, partials: VarValues) -> Result<VarValues, String> {
        migration::run::<C>(from_version, &partials)
    }
}

impl<C, F> window_apply_function::Guest for Exported<C>
where
    C: Component<Instance = WindowApplyInstance<F>>,
    F: WindowApply,
{
    fn apply(
        windows: Vec<window_apply_function::Window>,
        bounds: Vec<u32>,
        rows: Batch,
    ) -> Result<Produced, String> {
        let windows: Vec<Window> = windows.into_iter().map(Window::from).collect();
        with::<C, _>(|WindowApplyInstance(function)| {
            Ok(window_apply::run(function, &windows, &bounds, &rows))
        })
    }
}

/// Calls the instance.
///
/// # Panics
/// If the host breaks the contract: the component traps, and its panic hook says why.
fn with<C: Component, R>(call: impl FnOnce(&mut C::Instance) -> Result<R, ContractError>) -> R {
    C::cell().with_borrow_mut(|instance| {
        let instance = instance
            .as_mut()
            .unwrap_or_else(|| panic!("called before `init`"));
        call(instance).unwrap_or_else(|error| panic!("the host broke the contract: {error}"))
    })
}

/// In a component, leaves of a panic its place and message on standard error, whose end the host adds to the failure: a trap
/// says only where it happened. The standard library's own hook would also give advice that nobody can follow there.
fn report_panics() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
}

/// Whether the contract allows a name: lower-case letters, digits and hyphens, at most 64 bytes.
pub const fn is_valid_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if !matches!(bytes[i], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        i += 1;
    }
    !bytes.is_empty() && bytes.len() <= 64
}
