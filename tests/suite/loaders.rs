//! Missing loaders, as reported by `check`.

use std::fs;

use assert_cmd::Command;

const SITE: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
gateway = "192.0.2.254"
dns = "192.0.2.254"
domain = "lab.example"
dhcp = "MODE"
"#;

/// The output of `check` about the loaders of a site with its own ones, and its exit code.
fn check(mode: &str, loader: &str, own: &[&str]) -> (i32, Vec<String>) {
    let site = tempfile::tempdir().unwrap();
    let declared = SITE.replace("MODE", mode);
    fs::create_dir_all(site.path().join("policies.d")).unwrap();
    fs::create_dir(site.path().join("loaders")).unwrap();
    for name in own {
        fs::write(site.path().join("loaders").join(name), name).unwrap();
    }
    let config = "[paths]\nloaders = [\"loaders\"]\n";
    fs::write(site.path().join("bootwright.toml"), config).unwrap();
    let declared = format!("{declared}{loader}\n");
    fs::write(site.path().join("policies.d/site.toml"), declared).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .args(["--site", site.path().to_str().unwrap(), "check"])
        .env_remove("BOOTWRIGHT_SITE")
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().filter(|line| line.contains("loader `"));
    let lines = lines.map(str::to_owned).collect();
    (output.status.code().unwrap(), lines)
}

#[test]
fn a_missing_custom_loader_is_an_error_on_networks_with_dhcp() {
    let firmware = ["undionly.kpxe", "snponly.efi"];
    let gone = || vec!["error: loader `own.efi` is missing".to_owned()];
    let of_network = "loader = \"own.efi\"";
    let of_node =
        "[node.n1]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.0.2.21\"\nloader = \"own.efi\"";
    let of_policy = "[policy.p]\nloader = \"own.efi\"";
    let of_all = "[defaults]\nloader = \"own.efi\"";
    for named in [of_network, of_node, of_policy, of_all] {
        let (code, output) = check("reserve", named, &firmware);
        assert_eq!((code, output), (1, gone()), "{named}");
        let with_own = [firmware[0], firmware[1], "Own.EFI"];
        let (_, output) = check("reserve", named, &with_own);
        assert_eq!(output, Vec::<String>::new(), "{named}");
        let (_, output) = check("off", named, &[]);
        assert_eq!(output, Vec::<String>::new(), "{named}");
    }
}
