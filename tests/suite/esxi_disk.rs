//! The script that chooses ESXi's disk, run by busybox on the output of `localcli storage core device list`.
//!
//! Each file of `tests/fixtures/esxi/disks` is the output of one release, with invented serial numbers.

use std::{fs, path::Path, process::Command};

use crate::support::{needs::needs, rendering::rendering};

/// Functions that replace ESXi's programs. Functions take precedence over programs and over busybox's built-in commands, so
/// nothing restarts the machine that runs the test.
const PROGRAMS: &str = r#"
localcli() { [ "$*" = "storage core device list" ] && cat "$ROOT/list"; }
partedUtil() {
  [ "$1" = getptbl ] || return 255
  table="$ROOT/tables/${2#/vmfs/devices/disks/}"
  [ -e "$table" ] || { printf 'unknown\n121601 255 63 1953525168\n'; return; }
  cat "$table"
  ! grep -q '^Error' "$table"
}
wget() { for last; do :; done; echo "$last" >> "$ROOT/reports"; }
sleep() { command sleep 0.1; }
reboot() { echo "reboot $*" >> "$ROOT/reports"; }
"#;

const SITE: &str = r#"
[defaults]
root-password-hash = "$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/"
[network.lab]
subnet = "192.0.2.0/24"
gateway = "192.0.2.1"
dns = "192.0.2.2"
[repo.esxi]
path = "esxi"
task = "esxi"
[node.n1]
mac = "52:54:00:00:00:01"
address = "192.0.2.11"
repo = "esxi"
"#;

/// Partition tables as `partedUtil getptbl` prints them.
const GPT: &str = "gpt\n121601 255 63 1953525168\n1 64 204863 C12A7328F81F11D2BA4B00A0C93EC93B systemPartition 128\n";
const TABLES: [(&str, &str); 7] = [
    (
        "esxi",
        "5 208896 2306047 EBD0A0A2B9E5443387C068B6B72699C7 linuxNative 0\n7 4407296 20971486 4EB2EA3978554790A79EFAE495E21F8D vmfsl 0\n",
    ),
    (
        "vmfs",
        "8 20973535 209715166 AA31E02A400F11DB9590000C2911D1B8 vmfs 0\n",
    ),
    (
        "vsan",
        "1 2048 6143 381CFCCC728811E092EE000C2911D0B2 vsan 0\n",
    ),
    (
        "zfs",
        "1 2048 209715166 6A898CC31DD211B299A6080020736631 unknown 0\n",
    ),
    (
        "array",
        "3 21241856 7813832351 A19D880F05FC4D3BA006743F0F84911E unknown 0\n",
    ),
    ("old vmfs", "msdos\n1 2048 41943039 251 0\n"),
    (
        "broken",
        "Error: The primary GPT table states that the backup GPT is located beyond the end of disk.\n",
    ),
];

/// The result of the script.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The text for the document to include, or the reported reason.
    line: String,
    code: i32,
}

/// Runs `%pre` of a node with `settings` on the disks of one release. `table` is the partition table of every disk.
fn run(list: &str, settings: &str, table: Option<&str>) -> Outcome {
    let rendering = rendering(&format!("{SITE}{settings}"), &[]);
    assert_eq!(
        rendering.shown(&rendering.found),
        Vec::<String>::new(),
        "{settings}"
    );
    let document = rendering.text("n1", "ks.cfg");
    let section = document
        .split("\n%pre --interpreter=busybox\n")
        .nth(1)
        .unwrap();
    let section = section.split("\n%post").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let script = section.replace("/tmp/", &format!("{}/", root.display()));
    fs::write(root.join("list"), list).unwrap();
    fs::create_dir(root.join("tables")).unwrap();
    let names = list
        .lines()
        .filter(|line| !line.starts_with(' ') && !line.is_empty());
    for name in names.filter(|_| table.is_some()) {
        let name = name.trim_end_matches(':');
        fs::write(root.join("tables").join(name), table.unwrap()).unwrap();
    }
    let output = Command::new("busybox")
        .args(["sh", "-c", &format!("{PROGRAMS}{script}")])
        .env("ROOT", root)
        .output()
        .unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let reports = read("reports");
    let reports: Vec<&str> = reports.lines().collect();
    assert!(reports[0].ends_with("/stage/installing"), "{reports:?}");
    let code = output.status.code().unwrap();
    let written = root.join("bootwright-disk.ks");
    let line = match reports.get(1) {
        None => fs::read_to_string(&written).unwrap_or(errors),
        Some(failure) => {
            assert_eq!(reports[2..], ["reboot -f"], "{settings}");
            assert!(
                !written.exists(),
                "a machine that failed has no line to include"
            );
            let (_, reason) = failure.split_once("/stage/failed?reason=").unwrap();
            reason
                .replace("%20", " ")
                .replace("%60", "`")
                .replace("%3A", ":")
                .replace("%2C", ",")
                .replace("%3D", "=")
        }
    };
    Outcome { line, code }
}

fn disks(version: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/esxi/disks");
    fs::read_to_string(folder.join(format!("{version}.txt"))).unwrap()
}

fn is(disk: &str) -> Outcome {
    Outcome {
        line: format!("install --disk=\"{disk}\"\n"),
        code: 0,
    }
}

fn wiped(disk: &str) -> Outcome {
    Outcome {
        line: format!("install --disk=\"{disk}\" --overwritevmfs\n"),
        code: 0,
    }
}

/// The script reports the reason, and ends with an error in case the machine does not restart.
fn failed(reason: &str) -> Outcome {
    Outcome {
        line: reason.into(),
        code: 1,
    }
}

const NONE: &str = "no disk matches";
const SEVERAL: &str = "several disks match: select one with `disk`";
const ALIKE: &str = "several disks of the same size match: select one with `disk`";
const PROTECTED: &str = "the disk contains a VMFS, a ZFS pool or a RAID array: set `wipe = true` in `disk` to overwrite it";
const SHARED: &str = "the disk belongs to a vSAN with other disks, which may be cleared too: set `vars.overwrite-vsan = true`, or remove the disk group first";
const UNREADABLE: &str =
    "the partitions of the disk cannot be read: set `wipe = true` in `disk` to overwrite it";

const WD: &str = "t10.ATA_____WDC_WD5002ABYS2D18B1B0________________________WD2DWCEXAMPLE001";
const ST: &str = "t10.ATA_____ST3000VN0002D1H4167__________________________________W3EXAMPL";
const RAID: &str = "naa.600605b0012345670000000000000001";
const LUN: &str = "naa.6000d310007710000000000000000001";
const EVO: &str = "t10.ATA_____Samsung_SSD_850_EVO_M.2_250GB___________S33EXAMPLE0001A_____";
const PRO: &str = "t10.ATA_____Samsung_SSD_850_PRO_256GB_______________S39EXAMPLE0002B_____";
const BLADE: &str = "naa.600508b1001c0000000000000000abcd";
const INTEL: &str =
    "t10.NVMe____INTEL_SSDPE2KX010T8_____________________BTLJEXAMPLE1P0DGN__00000001";
const SAS: &str = "naa.5000c500a1b2c3d4";
const VIRTUAL: &str = "mpx.vmhba0:C0:T0:L0";
const GOODRAM: &str = "t10.NVMe____SSDPR2DPX7002D02T2D80______________________2710003002000001";
const TOSHIBA: &str = "t10.NVMe____                                           KXG5AZNV512G_TOSHIBA____________________77F5EXAM000D0800";
const BOSS: &str = "t10.ATA_____DELLBOSS_VD__________________________________0123456789abcdef0010";

#[test]
fn the_selected_disk_is_the_declared_one_or_none() {
    needs!("busybox");
    for (version, settings, expected) in [
        // One that matches, for each way to select it.
        ("5.0", "disk = { serial = \"WD-WCEXAMPLE001\" }", is(WD)),
        ("5.0", "disk = { serial = \"W3EXAMPL\" }", is(ST)),
        ("5.0", "disk = { model = \"WDC WD5002ABYS-1\" }", is(WD)),
        ("5.0", "disk = { model = \"ST3000VN000-1H4167\" }", is(ST)),
        ("5.0", "disk = { model = \"ATA ST3000VN000-1H41\" }", is(ST)),
        ("5.0", "disk = { min-size = \"1TB\" }", is(ST)),
        ("5.0", "disk = { smallest = true }", is(WD)),
        ("5.0", "disk = { largest = true, wipe = true }", wiped(ST)),
        ("5.0", "keep = \"W3EXAMPL\"", is(WD)),
        (
            "5.0",
            "keep = \"/vmfs/devices/disks/t10.ATA_____WDC_WD5002ABYS2D18B1B0________________________WD2DWCEXAMPLE001\"",
            is(ST),
        ),
        // Sizes are compared in whole MiB: the disk of 476940 MiB has some more bytes.
        (
            "5.0",
            "disk = { min-size = \"476940MiB\", smallest = true }",
            is(WD),
        ),
        (
            "5.0",
            "disk = { min-size = \"476941MiB\", smallest = true }",
            is(ST),
        ),
        // None and several.
        ("5.0", "disk = { serial = \"W3EXAMP\" }", failed(NONE)),
        ("5.0", "disk = { serial = \"3EXAMPL\" }", failed(NONE)),
        ("5.0", "disk = { model = \"ST3000VN000\" }", failed(NONE)),
        (
            "5.0",
            "disk = { model = \"it's; `$(reboot)` *\" }",
            failed(NONE),
        ),
        ("5.0", "disk = { serial = \"*\" }", failed(NONE)),
        ("5.0", "disk = { min-size = \"3TB\" }", is(ST)),
        ("5.0", "disk = { min-size = \"4TB\" }", failed(NONE)),
        ("5.0", "disk = { min-size = \"100GB\" }", failed(SEVERAL)),
        (
            "5.0",
            "keep = [\"W3EXAMPL\", \"WD-WCEXAMPLE001\"]",
            failed(NONE),
        ),
        (
            "5.0",
            "keep = \"W3EXAMPL\"\ndisk = { serial = \"W3EXAMPL\" }",
            failed(NONE),
        ),
        ("5.0", "keep = \"nothing that is there\"", failed(SEVERAL)),
        // Removable disks, enclosures and shared disks are not chosen, even if there is no other.
        ("5.5", "disk = { smallest = true }", is(RAID)),
        ("5.5", "disk = { largest = true }", is(RAID)),
        ("5.5", "disk = { min-size = \"1TB\" }", failed(NONE)),
        (
            "5.5",
            "disk = { wwid = \"36000d310007710000000000000000001\" }",
            is(LUN),
        ),
        (
            "5.5",
            "disk = { serial = \"6000d310007710000000000000000001\" }",
            is(LUN),
        ),
        ("5.5", "disk = { model = \"Compellent Vol\" }", is(LUN)),
        ("5.5", "disk = { model = \"Cruzer Blade\" }", failed(NONE)),
        (
            "5.5",
            "disk = { path = \"mpx.vmhba32:C0:T0:L0\" }\nkeep = \"W3EXAMPL\"",
            is("mpx.vmhba32:C0:T0:L0"),
        ),
        (
            "5.5",
            "disk = { path = \"/dev/disks/naa.600605b0012345670000000000000001\" }\nkeep = \"W3EXAMPL\"",
            is(RAID),
        ),
        (
            "5.5",
            "disk = { path = \"vml.0200000000600605b00123456700000000000000014d6567615241\" }\nkeep = \"W3EXAMPL\"",
            is(RAID),
        ),
        (
            "5.5",
            "disk = { path = \"naa.600605b0012345670000000000000001\" }\nkeep = \"naa.600605b0012345670000000000000001\"",
            failed(NONE),
        ),
        // Two of the same size; 16 characters of a model are not enough.
        ("6.7", "disk = { smallest = true }", failed(ALIKE)),
        (
            "6.7",
            "disk = { model = \"Samsung SSD 850\" }",
            failed(SEVERAL),
        ),
        (
            "6.7",
            "disk = { model = \"Samsung SSD 850 PRO 256GB\", wipe = true }",
            wiped(PRO),
        ),
        (
            "6.7",
            "disk = { model = \"Samsung SSD 850 PRO\" }",
            failed(NONE),
        ),
        ("6.7", "disk = { serial = \"S33EXAMPLE0001A\" }", is(EVO)),
        (
            "6.7",
            "disk = { serial = \"S33EXAMPLE0001A\", min-size = \"1TB\" }",
            failed(NONE),
        ),
        ("6.7", "disk = { model = \"HP LOGICAL VOLUME\" }", is(BLADE)),
        (
            "6.7",
            "keep = \"S33EXAMPLE0001A\"\ndisk = { largest = true }",
            is(PRO),
        ),
        // A disk that is off is skipped; a degraded one is not.
        (
            "7.0",
            "disk = { serial = \"BTLJEXAMPLE1P0DGN\" }",
            is(INTEL),
        ),
        ("7.0", "disk = { serial = \"0x5000C500A1B2C3D4\" }", is(SAS)),
        ("7.0", "disk = { model = \"ST1200MM0099\" }", is(SAS)),
        (
            "7.0",
            "disk = { serial = \"5000c500a1b2c3ff\" }",
            failed(NONE),
        ),
        ("7.0", "disk = { largest = true }", is(SAS)),
        ("7.0", "disk = { smallest = true }", is(VIRTUAL)),
        // NVMe: the serial number is found if the qualified name contains it.
        ("8.0", "disk = { serial = \"G4EXAMPL2\" }", is(GOODRAM)),
        (
            "8.0",
            "disk = { serial = \"2710003002000001\" }",
            is(GOODRAM),
        ),
        ("8.0", "disk = { serial = \"224EXAMPLE1\" }", failed(NONE)),
        (
            "8.0",
            "disk = { model = \"SSDPR-PX700-02T-80\" }",
            is(GOODRAM),
        ),
        (
            "8.0",
            "disk = { model = \"KXG5AZNV512G TOSHIBA\" }",
            is(TOSHIBA),
        ),
        (
            "8.0",
            "disk = { smallest = true, wipe = true }",
            wiped(BOSS),
        ),
        ("8.0", "disk = { model = \"DELLBOSS VD\" }", is(BOSS)),
    ] {
        assert_eq!(
            run(&disks(version), settings, None),
            expected,
            "{settings} on {version}"
        );
    }
}

/// Two disks of the same size are accepted if another one is better, at any position in the list.
#[test]
fn only_the_best_candidates_must_differ() {
    needs!("busybox");
    let (pair, more) = (disks("6.7"), disks("5.0"));
    for list in [format!("{pair}\n{more}"), format!("{more}\n{pair}")] {
        let largest = run(&list, "disk = { largest = true }", None);
        assert_eq!(largest, is(ST));
        let smallest = run(&list, "disk = { smallest = true }", None);
        assert_eq!(smallest, failed(ALIKE));
    }
}

#[test]
fn a_disk_in_use_is_only_overwritten_if_that_is_set() {
    needs!("busybox");
    for (table, expected) in [
        ("esxi", is(WD)),
        ("vmfs", failed(PROTECTED)),
        ("vsan", failed(PROTECTED)),
        ("zfs", failed(PROTECTED)),
        ("array", failed(PROTECTED)),
        ("old vmfs", failed(PROTECTED)),
        ("broken", failed(UNREADABLE)),
    ] {
        let (_, text) = TABLES.iter().find(|(name, _)| *name == table).unwrap();
        let text = if table.starts_with("old") {
            (*text).to_string()
        } else {
            format!("{GPT}{text}")
        };
        let list = disks("5.0");
        let found = run(&list, "disk = { smallest = true }", Some(&text));
        assert_eq!(found, expected, "{table}");
        let found = run(
            &list,
            "disk = { smallest = true, wipe = true }",
            Some(&text),
        );
        // Every disk has this table.
        let expected = match table {
            "vsan" => failed(SHARED),
            _ => wiped(WD),
        };
        assert_eq!(found, expected, "{table}");
    }
}

/// The installer refuses a disk of a vSAN without this word, and any other disk with it.
#[test]
fn a_disk_of_a_vsan_is_overwritten_as_one() {
    needs!("busybox");
    let (_, vsan) = TABLES.iter().find(|(name, _)| *name == "vsan").unwrap();
    let vsan = format!("{GPT}{vsan}");
    let expected = Outcome {
        line: wiped(WD)
            .line
            .replace(" --overwritevmfs", " --overwritevmfs --overwritevsan"),
        code: 0,
    };
    for settings in [
        "disk = { smallest = true, wipe = true }\nvars = { overwrite-vsan = true }",
        &format!("disk = {{ path = \"{WD}\", wipe = true }}\nvars = {{ overwrite-vsan = true }}"),
    ] {
        let found = run(&disks("5.0"), settings, Some(&vsan));
        assert_eq!(found, expected, "{settings}");
    }
    // The only disk.
    let one: String = disks("5.0")
        .split_inclusive("\n\n")
        .filter(|entry| entry.starts_with(WD))
        .collect();
    assert!(!one.is_empty());
    let found = run(&one, "disk = { smallest = true, wipe = true }", Some(&vsan));
    assert_eq!(found, expected);
}

#[test]
fn options_that_contradict_the_disk_are_errors() {
    for (settings, expected) in [
        (
            "disk = { wipe = true }\nvars = { preserve-vmfs = true }",
            "`vars.preserve-vmfs` and `wipe = true` of `disk` contradict each other",
        ),
        (
            "disk = { path = \"naa.1\" }\nvars = { ignore-ssd = true }",
            "`vars.ignore-ssd` needs a disk that ESXi chooses",
        ),
        (
            "vars = { dpu-pci-slots = \"1 --x\" }",
            "`vars.dpu-pci-slots` is no list of PCI slots",
        ),
        (
            "vars = { system-media-size = \"tiny\" }",
            "`vars.system-media-size` is \"tiny\": expected one of min, small, default, max",
        ),
        (
            "vars = { clear-partitions = [\"naa.1\"] }\nkeep = [\"naa.1\"]",
            "`vars.clear-partitions` has the disk `naa.1`, which is in `keep`",
        ),
        (
            "vars = { clear-partitions = [\"a,b\"] }",
            "`vars.clear-partitions`: a comma separates the disks of this list",
        ),
        (
            "vars = { ignore-ssd = \"yes\" }",
            "`vars.ignore-ssd` has the wrong type for task `esxi`: expected `true` or `false`",
        ),
        (
            "vars = { ignore-sdd = true }",
            "task `esxi` does not read `vars.ignore-sdd`",
        ),
    ] {
        let rendering = rendering(&format!("{SITE}{settings}"), &[]);
        let found = rendering.shown(&rendering.inspect("n1").1);
        assert!(
            found.iter().any(|one| one.contains(expected)),
            "{settings}: {found:?}"
        );
    }
}

#[test]
fn a_missing_disk_list_fails() {
    needs!("busybox");
    let settings = "disk = { smallest = true }";
    assert_eq!(run("", settings, None), failed(NONE));
    assert_eq!(
        run("Error: Unable to reach the host\n", settings, None),
        failed(NONE)
    );
    // The lists of esxcli have no colon after a name, and the text may end without a line break.
    let list = disks("7.0").replace(":\n", "\n");
    assert_eq!(run(list.trim_end(), settings, None), is(VIRTUAL));
}

#[test]
fn without_disk_settings_the_installer_chooses() {
    for (settings, line) in [
        ("", "install --firstdisk\n"),
        (
            "disk = { wipe = true }",
            "install --firstdisk --overwritevmfs\n",
        ),
        (
            "disk = { first = [\"local\", \"usb\"] }",
            "install --firstdisk=local,usb\n",
        ),
        (
            "disk = { path = \"naa.1\", wipe = true }",
            "%include /tmp/bootwright-disk.ks\n",
        ),
        ("disk = { path = \"naa.1\" }", "install --disk=naa.1\n"),
        (
            "vars = { ignore-ssd = true, ignore-prereq-warnings = true, dpu-pci-slots = \"1,2\", overwrite-vsan = true }",
            "install --firstdisk --ignoressd --ignoreprereqwarnings --dpuPciSlots=1,2 --overwritevsan\n",
        ),
        (
            "vars = { preserve-vmfs = true, ignore-prereq-errors = true }",
            "install --firstdisk --preservevmfs --ignoreprereqerrors\n",
        ),
        (
            "vars = { clear-partitions = [\"naa.2\", \"t10.a b\"] }\ndisk = { wipe = true }",
            "clearpart --drives=naa.2,\"t10.a b\" --overwritevmfs\ninstall --firstdisk --overwritevmfs\n",
        ),
        (
            "disk = { serial = \"1\" }",
            "%include /tmp/bootwright-disk.ks\n",
        ),
    ] {
        let text = rendering(&format!("{SITE}{settings}"), &[]).text("n1", "ks.cfg");
        assert!(text.contains(&format!("\n{line}")), "{settings}: {text}");
        assert_eq!(
            text.contains("localcli storage"),
            line.starts_with('%'),
            "{settings}"
        );
    }
}
