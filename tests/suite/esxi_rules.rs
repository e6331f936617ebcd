//! The strict checks of ESXi's files: bad and good examples for each rule.
//!
//! The name of a bad example begins with the number of the only rule that it violates. A good example violates none. If
//! `good-` is followed by a number, it is close to the limit of that rule.

use std::{collections::BTreeSet, fs, path::Path};

use bootwright::render::check::{BootCfgRequirements, RuleViolation, check_boot_cfg, check_ks};

fn examples(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/esxi")
        .join(folder);
    let mut list: Vec<(String, String)> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read_to_string(entry.path()).unwrap(),
            )
        })
        .collect();
    list.sort();
    list
}

/// Checks every example against its name, and returns the violated rules.
fn check_examples(folder: &str, check: impl Fn(&str, &str) -> Vec<RuleViolation>) -> BTreeSet<u8> {
    let mut broken = BTreeSet::new();
    for (name, text) in examples(folder) {
        let rules: BTreeSet<u8> = check(&name, &text)
            .into_iter()
            .map(|finding| finding.rule)
            .collect();
        match name.split('-').next().unwrap().parse::<u8>() {
            Ok(rule) => assert_eq!(
                rules,
                BTreeSet::from([rule]),
                "{name}: {:#?}",
                check(&name, &text)
            ),
            Err(_) => assert_eq!(rules, BTreeSet::new(), "{name}: {:#?}", check(&name, &text)),
        }
        broken.extend(rules);
    }
    broken
}

#[test]
fn every_rule_of_ks_cfg_has_a_bad_example() {
    let broken = check_examples("ks", |name, text| {
        check_ks(text, name.contains("secure-boot"))
    });
    assert_eq!(broken, (1..=30).collect());
}

#[test]
fn every_rule_of_ks_cfg_has_a_good_example() {
    let names = examples("ks").into_iter().map(|(name, _)| name);
    let kept: BTreeSet<u8> = names
        .filter_map(|name| name.strip_prefix("good-")?.split('-').next()?.parse().ok())
        .collect();
    // The test above checks that they violate no rule.
    assert_eq!(kept, (1..=30).collect());
}

#[test]
fn every_rule_of_boot_cfg_has_a_bad_example_and_a_good_one() {
    let files = [
        "b.b00",
        "jumpstrt.gz",
        "useropts.gz",
        "k.b00",
        "sub/m.gz",
        "crypto64.efi",
        "efi/boot/crypto64.efi",
    ];
    let expected = BootCfgRequirements {
        mac: Some("52:54:00:12:34:56".parse().unwrap()),
        has: Box::new(|path| files.contains(&path)),
    };
    let broken = check_examples("boot", |_, text| check_boot_cfg(text, &expected));
    assert_eq!(broken, (1..=11).collect());
    // A good example is close to what its rule forbids.
    let kept: BTreeSet<u8> = examples("boot")
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("good-")?.get(..2)?.parse().ok())
        .collect();
    assert_eq!(kept, (1..=11).collect());
}

#[test]
fn a_violation_has_its_line() {
    let text = "vmaccepteula\n\n# comment\nnetwork --bootproto=dhcp --ip=192.0.2.1\n";
    let found = check_ks(text, false);
    let finding = found.iter().find(|finding| finding.rule == 14).unwrap();
    assert_eq!(
        (finding.line, finding.message.as_str()),
        (4, "`--ip` is not allowed with DHCP")
    );
}
