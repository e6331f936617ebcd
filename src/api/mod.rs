//! The operator API: its requests, its responses, and how HTTP carries them.
//!
//! The server, the command line and the offline reader use these types. [`ApiRequest::to_http`] and [`Endpoint`] map requests
//! to HTTP and back; the fields of a command are its JSON body. Nothing is sent here, and no use case is here.

mod command;
mod error;
mod explanation;
mod inventory;
mod node_status;
mod page_link;
mod query;
mod request;
mod server_status;
mod variant_names;

pub use command::{Command, CommandReply, MarkedState, NodeCommand, SiteCommand};
pub use error::ApiError;
pub use explanation::{Explanation, PolicyVerdict, ShadowedValue, ValueOrigin};
pub use inventory::{GroupList, HostDetails, HostGroup, HostVars, Inventory, InventoryMeta};
pub use node_status::{InstallCounts, MachineState, NodeStatus};
pub use page_link::PageLink;
pub use query::Query;
pub use request::{ApiRequest, Endpoint, HttpForm};
pub use server_status::{RejectedRevision, ServerStatus};

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    fn json(response: &impl Serialize) -> String {
        serde_json::to_string(response).unwrap()
    }

    #[test]
    fn responses_keep_their_keys() {
        let status = NodeStatus::bare("esx01", MachineState::Bound, "never seen");
        let keys = r#""name":"esx01","declared":true,"state":"bound","reason":null,"since":null,"policy":null,"task":null,"address":null,"hostname":null,"mac":[],"uuid":null,"serial":null,"firmware":null,"attempt":null,"installs":{"wanted":1,"done":0},"last":"never seen""#;
        assert_eq!(json(&status), format!("{{{keys}}}"));
        let mut inventory = Inventory::default();
        inventory.all.children.insert("state_bound".into());
        let group = inventory.groups.entry("state_bound".into()).or_default();
        group.hosts.insert("esx01".into());
        let vars = HostVars {
            ansible_host: None,
            bootwright: HostDetails {
                status,
                tags: ["gpu".parse().unwrap()].into(),
                facts: None,
            },
        };
        inventory.meta.hostvars.insert("esx01".into(), vars);
        assert_eq!(
            json(&inventory),
            format!(
                r#"{{"all":{{"children":["state_bound"]}},"_meta":{{"hostvars":{{"esx01":{{"bootwright":{{{keys},"tags":["gpu"],"facts":null}}}}}}}},"state_bound":{{"hosts":["esx01"]}}}}"#
            )
        );
        let message = "esx01 is held".into();
        assert_eq!(
            json(&CommandReply { message }),
            r#"{"said":"esx01 is held"}"#
        );
        assert_eq!(
            json(&ApiError::new(404, "not found")),
            r#"{"error":"not found","help":null}"#
        );
        assert_eq!(
            json(&ServerStatus::default()),
            r#"{"version":"","site":"","revision":null,"nodes":0,"policies":0,"repos":0,"networks":0,"demonstration":false,"paused":false,"held":null,"health":"","rejected":null}"#
        );
    }

    #[test]
    fn a_state_of_a_newer_server_is_unknown() {
        let state: MachineState = serde_json::from_str(r#""rebooting""#).unwrap();
        assert_eq!(state, MachineState::Unknown);
    }
}
