//! Whole outputs of every shipped task.

use crate::support::rendering::{SITE, rendering, whole};

#[test]
fn every_node_renders_to_its_golden_file() {
    let rendering = rendering(SITE, &[]);
    assert_eq!(rendering.shown(&rendering.found), Vec::<String>::new());
    let mut seen = 0;
    for node in rendering.site.nodes.keys() {
        let (rendered, found) = rendering.inspect(node.as_str());
        let diagnostics = rendering.shown(&found).join("\n");
        let rendered = rendered.unwrap_or_else(|| panic!("{node}: {diagnostics}"));
        insta::assert_snapshot!(
            format!("{node}"),
            format!("{}\n==> diagnostics <==\n{diagnostics}", whole(&rendered))
        );
        seen += 1;
    }
    assert!(seen > 10, "{seen} nodes");
}
