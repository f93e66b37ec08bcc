//! Resource policies.

/// Answers [`GetResourcePolicy`](crate::api::GetResourcePolicy).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetResourcePolicyOutput {
    /// The policy, letter by letter as it was put.
    pub policy: String,
}
