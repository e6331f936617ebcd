//! What a machine in the microkernel is told to do.

use serde::{Deserialize, Serialize};

/// What a machine in the microkernel is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What it is called here.
    pub node: String,
    /// Why, for its screen.
    pub reason: String,
    /// The deed.
    #[serde(flatten)]
    pub deed: Deed,
}

/// The deed itself. One that a microkernel does not know it shows, and asks again after half a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Deed {
    /// Asks again after so many seconds, and up to a fifth more, so that not all ask at once.
    Wait {
        /// How many.
        seconds: u32,
    },
    /// Boots anew, from the network.
    Reboot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_object() {
        let order = |deed| Order {
            node: "web1".into(),
            reason: "policy web takes it".into(),
            deed,
        };
        for (deed, text) in [
            (Deed::Wait { seconds: 30 }, r#""do":"wait","seconds":30"#),
            (Deed::Reboot, r#""do":"reboot""#),
        ] {
            let expected = format!(r#"{{"node":"web1","reason":"policy web takes it",{text}}}"#);
            assert_eq!(serde_json::to_string(&order(deed)).unwrap(), expected);
            assert_eq!(
                serde_json::from_str::<Order>(&expected).unwrap(),
                order(deed)
            );
        }
    }
}
