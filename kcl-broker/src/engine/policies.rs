//! Resource policies. They are kept and given back; who calls is not looked at here.

use kcl_core::Timestamp;
use serde::de::IgnoredAny;

use super::{
    Engine, Operation, Subject,
    attached::Resource,
    validate::{Constraints, present},
};
use crate::api::{
    ApiError, DeleteResourcePolicy, ErrorKind, GetResourcePolicy, GetResourcePolicyOutput, PutResourcePolicy,
    StreamStatus,
};

/// The most bytes of a policy.
const POLICY_BYTES_MAX: usize = 20 << 10;

impl Operation for PutResourcePolicy {
    const NAME: &'static str = "PutResourcePolicy";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(None, self.resource_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .resource(self.resource_arn.as_ref())
            .required("policy", self.policy.as_ref())
            .check()?;
        let (arn, policy) = (present(self.resource_arn)?, present(self.policy)?);
        let resource = engine.resource(&arn)?;
        match &resource {
            Resource::Stream(name) => engine.require(engine.existing(name)?, &[StreamStatus::Active])?,
            Resource::Consumer { .. } => drop(engine.active_consumer(&arn)?),
        }
        check_policy(&policy)?;
        if let Some(attached) = engine.attached_mut(&resource) {
            attached.policy = Some(policy);
        }
        Ok(())
    }
}

impl Operation for GetResourcePolicy {
    const NAME: &'static str = "GetResourcePolicy";
    type Output = GetResourcePolicyOutput;

    fn subject(&self) -> Subject {
        Subject::stream(None, self.resource_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<GetResourcePolicyOutput, ApiError> {
        Constraints::default().resource(self.resource_arn.as_ref()).check()?;
        let arn = present(self.resource_arn)?;
        let resource = engine.resource(&arn)?;
        match &engine.attached(&resource)?.policy {
            Some(policy) => Ok(GetResourcePolicyOutput { policy: policy.clone() }),
            None => Err(ApiError::new(
                ErrorKind::ResourceNotFound,
                format!("No resource policy found for resource {arn}."),
            )),
        }
    }
}

impl Operation for DeleteResourcePolicy {
    const NAME: &'static str = "DeleteResourcePolicy";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(None, self.resource_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<(), ApiError> {
        Constraints::default().resource(self.resource_arn.as_ref()).check()?;
        let resource = engine.resource(&present(self.resource_arn)?)?;
        if let Some(attached) = engine.attached_mut(&resource) {
            attached.policy = None;
        }
        Ok(())
    }
}

fn check_policy(policy: &str) -> Result<(), ApiError> {
    if policy.len() > POLICY_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "The policy has {} bytes; {POLICY_BYTES_MAX} are allowed.",
            policy.len()
        )));
    }
    // A policy is an object. Values of other kinds are JSON too, but no policies.
    if !policy.trim_start().starts_with('{') {
        return Err(ApiError::invalid("The policy is not a JSON object."));
    }
    match serde_json::from_str::<IgnoredAny>(policy) {
        Ok(_) => Ok(()),
        Err(error) => Err(ApiError::invalid(format!("The policy is not valid JSON: {error}."))),
    }
}
