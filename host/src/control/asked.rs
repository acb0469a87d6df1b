//! What a follower is asked to write: deploys with their components, what puts back the version before, and what becomes of a deploy.

use std::sync::mpsc;

use super::begin::FollowError;
use super::follower::Follower;
use super::handle::{Asked, DeployError, Request, What, number_of};
use super::message::{Deploy, Message, Strategy, TrialSpec};
use crate::log::{Log, LogError, Outbox};
use crate::pipeline::Function;
use crate::time::Clock as _;

/// How many polls it takes for a message of this process to come back, at most.
const MOST_READS: u32 = 100;

impl<L: Log> Follower<'_, L> {
    /// Writes what was asked for.
    pub(super) fn write(&mut self, request: Request) -> Result<(), LogError> {
        let Request { what, answer } = request;
        match what {
            What::Message(id, message) => {
                let mut outbox = Outbox::new();
                let now = self.clock.now();
                self.topic.put_message(&mut outbox, message, now);
                if let Err(error) = self.append(&outbox) {
                    let _ = answer.send(Err(DeployError::Away));
                    return Err(error);
                }
                // It counts when it comes back.
                let before = self.state_of(id);
                for _ in 0..MOST_READS {
                    self.read_on()?;
                    if self.state_of(id) != before {
                        break;
                    }
                }
                self.follow()?;
                let _ = answer.send(Ok(id));
                Ok(())
            }
            What::Deploy(deploy, component) => {
                self.put_deploy(*deploy, Some(component), Some(answer))
            }
            What::Rollback { step, by } => match self.rollback(&step, &by) {
                Ok((deploy, component)) => self.put_deploy(deploy, component, Some(answer)),
                Err(error) => {
                    let _ = answer.send(Err(error));
                    Ok(())
                }
            },
        }
    }

    /// Writes a deploy, and its component where the topic does not have it; who waits for it is answered when it has come back.
    pub(super) fn put_deploy(
        &mut self,
        deploy: Deploy,
        component: Option<Vec<u8>>,
        answer: Option<mpsc::Sender<Result<u64, DeployError>>>,
    ) -> Result<(), LogError> {
        let now = self.clock.now();
        let mut outbox = Outbox::new();
        let digest = &deploy.to.sha256;
        if self.history.pieces(digest).is_none()
            && let Some(component) = &component
        {
            self.topic
                .put_component(&mut outbox, digest, component, now);
        }
        let token = deploy.token.clone();
        self.topic
            .put_message(&mut outbox, Message::Deploy(Box::new(deploy)), now);
        if let Err(error) = self.append(&outbox) {
            if let Some(answer) = answer {
                let _ = answer.send(Err(DeployError::Away));
            }
            return Err(error);
        }
        if let Some(answer) = answer {
            self.awaited.insert(token, answer);
        }
        Ok(())
    }

    /// The deploy that puts back what was in a step before, with its component where the topic does not have it.
    pub(super) fn rollback(
        &mut self,
        step: &str,
        by: &str,
    ) -> Result<(Deploy, Option<Vec<u8>>), DeployError> {
        let base = self.control.base().clone();
        let number = number_of(&base, step)?;
        let file = base.functions()[number].plugin().digest();
        let in_place = self.history.step(step, file);
        let Some(previous) = in_place.and_then(|step| step.previous.clone()) else {
            return Err(DeployError::Conflict(format!(
                "nothing was deployed into step {step} that could be rolled back"
            )));
        };
        let component = match self.history.pieces(&previous.sha256) {
            Some(_) => None,
            None => Some(file_of(&base.functions()[number], &previous.sha256)?),
        };
        let running = self.control.running();
        let mut wanted = self.history.wanted().steps;
        if let Some(place) = wanted.get_mut(step) {
            place.now = previous;
        }
        let new = match self.prepared().pipeline(&wanted) {
            Ok(new) => new,
            Err(FollowError::Prepare(error)) => return Err(error.into()),
            Err(error) => return Err(DeployError::Conflict(error.to_string())),
        };
        let fit = self.control.fits(&running, &new, number)?;
        let asked = Asked {
            step: step.to_owned(),
            component: Vec::new(),
            // The topic has it.
            signature: None,
            strategy: Strategy::Immediate,
            trial: TrialSpec::default(),
            by: by.to_owned(),
        };
        let mut deploy = self.control.message(&running, &new, number, fit, &asked);
        deploy.is_rollback = true;
        // What ran before is not on trial: going back and forth would not end.
        deploy.trial = None;
        Ok((deploy, component))
    }
}

/// The component of a function that the pipeline's file names, if it is still that.
fn file_of(function: &Function, digest: &str) -> Result<Vec<u8>, DeployError> {
    let file = &function.config().component;
    let lost = |why: String| {
        DeployError::Conflict(format!(
            "{}: the component that ran before is not there any more ({why}): deploy it from where you have it",
            file.display()
        ))
    };
    let bytes = std::fs::read(file).map_err(|error| lost(error.to_string()))?;
    let is = crate::plugin::digest_of(&bytes);
    match is == digest {
        true => Ok(bytes),
        false => Err(lost(format!("its sha256 is now {is}"))),
    }
}
