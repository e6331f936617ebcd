//! What operators read.

/// A query of an operator. Machines are named as given: by node name or MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The status of every machine.
    Nodes,
    /// The status of one machine.
    Node(String),
    /// A machine's log, as lines of JSON.
    Log {
        node: String,
        /// Only entries after this time, in the format of an entry's `at`.
        after: Option<String>,
    },
    /// The hardware that a machine reported.
    Facts(String),
    /// What a machine gets at its next network boot, and why.
    Explain(String),
    /// Every machine with a task, as an Ansible inventory.
    Inventory,
    /// The status of the server.
    Status,
}

impl Query {
    /// A machine's whole log.
    pub fn log(node: impl Into<String>) -> Query {
        Query::Log {
            node: node.into(),
            after: None,
        }
    }
}
