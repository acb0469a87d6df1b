//! Deploys into the pipelines of a service.

use std::sync::Arc;

use super::error::ServiceError;
use super::supervisor::Service;
use crate::control::{Asked, Control, DeployView, Strategy, TrialSpec};
use crate::plugin::Reference;

/// What is to be deployed.
#[derive(Clone, Debug)]
pub enum Component {
    /// A plugin of the registry.
    Plugin(Reference),
    /// A component, byte for byte.
    Bytes(Vec<u8>),
}

/// A deploy that is asked of a service.
#[derive(Clone, Debug)]
pub struct DeployAsked {
    /// The step whose function is to be another.
    pub step: String,
    /// The component.
    pub component: Component,
    /// How.
    pub strategy: Strategy,
    /// How it is watched.
    pub trial: TrialSpec,
    /// Who asks.
    pub by: String,
}

impl Service {
    /// Deploys a component into a pipeline that runs. Compiles it, and waits until the log has ordered it among the others.
    ///
    /// # Errors
    /// If there is no such pipeline, step or plugin, the pipeline does not run, or the component is refused.
    pub fn deploy(&self, name: &str, asked: DeployAsked) -> Result<DeployView, ServiceError> {
        let control = self.control(name)?;
        let (component, signature) = match asked.component {
            Component::Bytes(_) if self.config().trust.required => {
                return Err(ServiceError::Conflict(
                    "this service takes signed plugins only (`plugins.require_signature`): push the component with its signature, then \
                     deploy it as name@version"
                        .to_owned(),
                ));
            }
            Component::Bytes(bytes) => (bytes, None),
            Component::Plugin(reference) => {
                let (file, _) = self.registry.resolve(&reference)?;
                let signature = self.registry.get(&reference)?.signed()?;
                (std::fs::read(file)?, signature)
            }
        };
        let asked = Asked {
            step: asked.step,
            component,
            signature,
            strategy: asked.strategy,
            trial: asked.trial,
            by: asked.by,
        };
        tracing::info!(
            pipeline = name,
            step = asked.step,
            by = asked.by,
            "deploying"
        );
        Ok(control.deploy(asked, &self.engine)?)
    }

    /// Puts back what a step had before the last deploy.
    ///
    /// # Errors
    /// If there is no such pipeline or step, the pipeline does not run, or there is nothing to go back to.
    pub fn roll_back(&self, name: &str, step: &str, by: &str) -> Result<DeployView, ServiceError> {
        tracing::info!(pipeline = name, step, by, "rolling back");
        Ok(self.control(name)?.roll_back(step, by)?)
    }

    /// A pipeline's deploys, in this process.
    ///
    /// # Errors
    /// If there is no such pipeline, or it does not run.
    pub fn control(&self, name: &str) -> Result<Arc<Control>, ServiceError> {
        let mut inner = self.lock();
        let entry = super::supervisor::entry(&mut inner, name)?;
        let control = entry.run.as_ref().and_then(|run| run.control().cloned());
        control.ok_or_else(|| {
            ServiceError::Conflict(format!(
                "{name} does not run just now, and deploys are made into what runs: resume it, or wait until it has started"
            ))
        })
    }
}
