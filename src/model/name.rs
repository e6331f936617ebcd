//! Names, with one type per kind of object.
//!
//! Whether a named object exists is not checked here.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name: expected letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 128"
)]
pub struct NameError(pub String);

fn check(text: &str) -> Result<Arc<str>, NameError> {
    let first = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let short = text.len() <= 128;
    if first && rest && short {
        Ok(text.into())
    } else {
        Err(NameError(text.into()))
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map($name)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

names! {
    /// A source of an operating system's files.
    RepoName
    /// A subnet of the site.
    NetworkName
    /// A name for machines that match a rule.
    TagName
    /// Binds machines to a repo, a task and settings.
    PolicyName
    /// One machine.
    NodeName
    /// How one operating system is installed: a directory of templates.
    TaskName
    /// A system that takes over finished machines.
    BrokerName
    /// A program that receives events.
    HookName
    /// A step of an installation that the machine reports.
    StageName
}
