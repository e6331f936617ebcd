//! Why a request of an operator is refused.

use serde::{Deserialize, Serialize};

/// An error of the operator API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct ApiError {
    /// The HTTP status.
    #[serde(skip)]
    pub status: u16,
    pub error: String,
    /// How to fix it.
    #[serde(default)]
    pub help: Option<String>,
}

impl ApiError {
    pub fn new(status: u16, error: impl Into<String>) -> ApiError {
        ApiError {
            status,
            error: error.into(),
            help: None,
        }
    }

    pub fn help(self, help: impl Into<String>) -> ApiError {
        ApiError {
            help: Some(help.into()),
            ..self
        }
    }
}
