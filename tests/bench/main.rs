//! The benchmark, run by hand: `cargo bench`. It measures nothing by itself yet; `cargo bench -- write DIR NODES` makes a site.
#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

mod site;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds `--bench` to what the user wrote.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["write", folder, nodes] => {
            let nodes = nodes.parse()?;
            site::write(Path::new(folder), nodes)?;
            if nodes > 0 {
                let (name, mac) = (site::name(nodes - 1), site::mac(nodes - 1));
                println!("{folder}: {nodes} nodes, the last one {name} with {mac}");
            }
            Ok(())
        }
        _ => anyhow::bail!("usage: cargo bench -- write DIR NODES"),
    }
}
