//! The edits that must not go live, each with the reason for which it is rejected.

/// An edit that must not go live.
pub(crate) struct Poison {
    pub(crate) name: &'static str,
    /// The file that it replaces or adds.
    pub(crate) file: &'static str,
    pub(crate) text: String,
    /// Part of the reason for which it is rejected.
    pub(crate) reason: &'static str,
}

/// The script that the first node runs at its first boot, which most edits replace.
pub(crate) const SCRIPT: &str = "templates/first.sh.j2";

const TOML: &str = "policies.d/poison.toml";
const KDL: &str = "policies.d/poison.kdl";

pub(crate) const DEEP: &str = "nested too deeply: at most 300 levels";
pub(crate) const NESTED: &str = "nested more than 64 levels deep";
pub(crate) const STACK: &str = "nested too deeply for a stack of";
/// In an optimized build the stack suffices, and the engine's parser refuses blocks that are nested so deeply.
const BLOCKS: &str = match cfg!(debug_assertions) {
    true => STACK,
    false => "recursion limit",
};
pub(crate) const MEMORY: &str = "of memory, while rendering node `n0";
const COMPILING: &str = "of memory, while compiling the templates";
const WORK: &str = "this does too much work, or does not end";

const LOOPS: &str = "{% for a in range(99) %}{% for b in range(99) %}{% endfor %}{% endfor %}";

/// Scripts that cannot be compiled or rendered within the limits.
pub(crate) fn scripts() -> Vec<Poison> {
    let script = |name, text: String, reason| Poison {
        name,
        file: SCRIPT,
        text,
        reason,
    };
    vec![
        script("a sum of 8,000", chain("+ 1", 8_000), DEEP),
        script("a sum of 50,000", chain("+ 1", 50_000), DEEP),
        script("attributes", chain(".a", 8_000), DEEP),
        script("filters", chain("| upper", 8_000), DEEP),
        script("calls", chain("(0, 0)", 8_000), DEEP),
        script("conditions", chain(" if x else y", 8_000), DEEP),
        script(
            "negations",
            format!("{{{{ {} 1 }}}}", "not ".repeat(8_000)),
            DEEP,
        ),
        script("parentheses", format!("{{{{ {}", "(".repeat(50_000)), DEEP),
        script(
            "branches",
            format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(8_000)),
            DEEP,
        ),
        script("blocks", "{% if 1 %}".repeat(50_000), BLOCKS),
        script(
            "an indentation",
            "{{ 'a\nb' | indent(1000000000) }}".into(),
            "1000000000 is too large: at most 1000",
        ),
        script(
            "joined text",
            "{{ range(100000) | join('a' * 100000) }}".into(),
            "this text would be longer than 1024 KiB",
        ),
        script(
            "a width",
            "{{ '%1000000000s' | format('a') }}".into(),
            "a width is too large",
        ),
        script(
            "a batch",
            "{{ [1] | batch(1000000000, 'x') | list }}".into(),
            "1000000000 is too large",
        ),
        script(
            "replaced text",
            "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}".into(),
            "this text would be longer than 1024 KiB",
        ),
        script(
            "a long list",
            "{{ ([0] * 90000000) | list }}".into(),
            "this list is too long",
        ),
        script(
            "text that is multiplied",
            format!("{{{{ {}'' }}}}", "('a' * 100000000) ~ ".repeat(60)),
            COMPILING,
        ),
        script(
            "text that doubles",
            format!(
                "{{% set x = 'a' * 1000000 %}}{}",
                "{% set x = x ~ x %}".repeat(40)
            ),
            MEMORY,
        ),
        script(
            "text that is kept",
            format!(
                "{{% set x %}}{{% for i in range(99999) %}}{}{{% endfor %}}{{% endset %}}",
                "text ".repeat(10_000)
            ),
            MEMORY,
        ),
        script(
            "kept values",
            "{% set x %}{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}{% endset %}"
                .into(),
            "this makes more than 16 MiB of text",
        ),
        script(
            "loops in loops",
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}".into(),
            WORK,
        ),
        script(
            "a macro that calls itself",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
            "recursion limit exceeded",
        ),
        script(
            "a loop that calls itself",
            "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}".into(),
            "recursion limit exceeded",
        ),
        script(
            "a template that includes itself",
            "{% include 'common/a.j2' %}".into(),
            "templates include each other in a loop",
        ),
    ]
}

/// Declarations, and templates that are used at each request.
pub(crate) fn declarations() -> Vec<Poison> {
    let config = |name, file, text: String, reason| Poison {
        name,
        file,
        text,
        reason,
    };
    vec![
        config(
            "arrays",
            TOML,
            format!("x = {}", "[".repeat(100_000)),
            NESTED,
        ),
        config(
            "keys",
            TOML,
            format!("x{} = 1", ".a".repeat(100_000)),
            NESTED,
        ),
        config(
            "tables",
            TOML,
            format!("[x{}]", ".a".repeat(100_000)),
            NESTED,
        ),
        config("nodes of KDL", KDL, "a {\n".repeat(100_000), NESTED),
        config(
            "an expression",
            TOML,
            format!("[tag.t]\nwhen = \"{}true\"", "not ".repeat(1_000)),
            "it is nested too deeply: at most 300 levels",
        ),
        config(
            "a sum in an expression",
            TOML,
            format!("[tag.t]\nwhen = \"1 {} == 2\"", "+1".repeat(2_000)),
            "it is nested too deeply: at most 300 levels",
        ),
        config(
            "a host name",
            TOML,
            format!(
                "[policy.p]\nhostname = \"a{{{{ 1 {} }}}}\"",
                "+1".repeat(8_000)
            ),
            "in this host name: ",
        ),
        config(
            "a host name that grows",
            TOML,
            "[policy.p]\nhostname = \"a{{ 'b' * 99999999 }}\"".into(),
            "in this host name: ",
        ),
        config(
            "a script for every boot that grows",
            "templates/ipxe/local.ipxe.j2",
            "#!ipxe\n{% set x = x ~ x %}\n".into(),
            "templates/ipxe/local.ipxe.j2",
        ),
        config(
            "a host name that loops",
            TOML,
            format!("[node.n09]\nmac = \"52:54:00:00:00:09\"\naddress = \"192.0.2.29\"\nrepo = \"rocky\"\nhostname = \"{LOOPS}n09\"\n"),
            WORK,
        ),
        config(
            "a script for every boot that loops",
            "templates/ipxe/local.ipxe.j2",
            format!("#!ipxe\n{LOOPS}exit 1\n"),
            WORK,
        ),
        config(
            "a large configuration",
            "bootwright.toml",
            "#".repeat(100_000),
            "it is too large: 100.0 kB, and it may have 64KiB",
        ),
        config(
            "a large file",
            TOML,
            "#".repeat(9 << 20),
            "it is too large: 9.4 MB, and it may have 8MiB",
        ),
        config(
            "a long list",
            TOML,
            format!("[policy.p]\nvars = {{ a = [{}] }}", "1,".repeat(1_000_000)),
            "of memory, while reading policies.d/poison.toml",
        ),
        config(
            "many mistakes",
            TOML,
            (0..1_000).map(|n| format!("[hook.h{n}]\n")).collect(),
            "more mistakes are not shown",
        ),
        config(
            "a long key",
            TOML,
            format!("[policy.p]\n{} = 1", "x".repeat(1_000_000)),
            "unknown key `xxx",
        ),
        config(
            "a password that has no end",
            TOML,
            "[policy.p]\nroot-password-file = \"/dev/zero\"".into(),
            "`/dev/zero` cannot be read: not a regular file",
        ),
        config(
            "a certificate that has no end",
            "bootwright.toml",
            "[operator]\ntls-cert = \"/dev/zero\"\ntls-key = \"/dev/zero\"\ntoken-file = \"none\"\n[http]\nlisten = 1".into(),
            "cannot use TLS: `/dev/zero` cannot be read: not a regular file",
        ),
        config(
            "an image that has no end",
            TOML,
            "[repo.zero]\niso = \"/dev/zero\"\n[policy.p]\nrepo = \"zero\"".into(),
            "no task is set for repo `zero`",
        ),
        config(
            "an image that waits",
            TOML,
            "[repo.fifo]\niso = \"../fifo\"\n[policy.p]\nrepo = \"fifo\"".into(),
            "no task is set for repo `fifo`",
        ),
        config(
            "every address",
            TOML,
            "[network.all]\nsubnet = \"0.0.0.0/0\"\ndhcp = \"server\"\nrange = \"0.0.0.1-255.255.255.254\"".into(),
            "address 192.0.2.11 is in several networks",
        ),
    ]
}

fn chain(link: &str, count: usize) -> String {
    format!("{{{{ x{} }}}}", link.repeat(count))
}
