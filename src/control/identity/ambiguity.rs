//! Why the machine or the declaration of a report is ambiguous.

use std::fmt;

use crate::model::{Mac, NodeName, Serial};

/// The reason. The request gets the local disk; no machine that is known changes by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ambiguity {
    /// The identities match several declarations.
    SeveralNodes(Vec<NodeName>),
    /// The serial number matches, the MAC addresses do not.
    SerialOnly(NodeName),
    /// A MAC address matches, this serial number does not.
    MacOnly { node: NodeName, serial: Serial },
    /// Several declarations match the history of one machine.
    SharedHistory(Vec<NodeName>),
    /// Several machines match a declaration without MAC addresses.
    SeveralMachines(NodeName),
    /// It boots from an undeclared NIC, and lists one that a node declares.
    OtherNic {
        node: NodeName,
        boots: Mac,
        declared: Mac,
    },
    /// It boots from a NIC that a machine once had, and no report of the microkernel shows that it still has it.
    EarlierNic { name: String, mac: Mac },
    /// It lists the NIC of another machine that is more than discovered.
    OtherMachine { name: String, mac: Mac },
    /// Its boot NIC is that of another machine, whose board is different.
    SharedAdapter { mac: Mac },
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ambiguity::SeveralNodes(nodes) => {
                write!(
                    f,
                    "declarations {} match the same machine: correct their `mac`",
                    joined(nodes)
                )
            }
            Ambiguity::SerialOnly(node) => {
                write!(
                    f,
                    "its serial number matches {node}, its MAC addresses do not: was the board replaced?"
                )
            }
            Ambiguity::MacOnly { node, serial } => {
                write!(
                    f,
                    "its MAC address matches {node}, its serial number `{serial}` does not: was the NIC moved?"
                )
            }
            Ambiguity::SharedHistory(nodes) => {
                write!(
                    f,
                    "declarations {} match the history of one machine: correct their identities",
                    joined(nodes)
                )
            }
            Ambiguity::SeveralMachines(node) => {
                write!(f, "two machines match {node}: add its `mac`")
            }
            Ambiguity::OtherNic {
                node,
                boots,
                declared,
            } => write!(
                f,
                "it boots from {boots} and also has {declared}, which {node} declares: add {boots} to the `mac` of {node}"
            ),
            Ambiguity::EarlierNic { name, mac } => write!(
                f,
                "{mac} was a NIC of {name}, and it is not known whether it still is: declare it, as a `mac` of {name} or of \
                 another node"
            ),
            Ambiguity::OtherMachine { name, mac } => write!(
                f,
                "it also has {mac}, the NIC from which {name} boots: declare the MACs of one machine for one node, `forget` {name} \
                 if it is gone, or add a shared adapter to `ignore-macs` in `[identity]`"
            ),
            Ambiguity::SharedAdapter { mac } => write!(
                f,
                "another machine boots from {mac}, a shared network adapter: declare these machines by `serial`"
            ),
        }
    }
}

fn joined(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(" and ")
}
