use super::*;
use std::path::Path;

const FILE: &str = r#"
node = 2
listen = "127.0.0.1:7102"
data = "data"
ca = "certs/ca.pem"
certificate = "certs/storage-2.pem"
key = "/secret/storage-2.key"
metadata = ["127.0.0.1:7001", "127.0.0.1:7002"]
reserve_bytes = "2GiB"
"#;

fn load(
    role: Role,
    text: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<NodeSettings, String> {
    let sources = Sources {
        file: Some(SettingsFile { path: Path::new("/etc/dfs/node.toml"), text }),
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        flags: flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
    };
    NodeSettings::load(role, &sources).map_err(|error| error.to_string())
}

fn storage(text: &str) -> Result<NodeSettings, String> {
    load(Role::Storage, text, &[], &[])
}

#[test]
fn a_file_is_read_with_its_paths_relative_to_it() {
    let settings = storage(FILE).unwrap();
    assert_eq!(settings.node, NodeId(2));
    assert_eq!(settings.data, Path::new("/etc/dfs/data"));
    assert_eq!(settings.key, Path::new("/secret/storage-2.key"));
    assert_eq!(settings.max_udp_payload, UDP_PAYLOAD_BYTES_DEFAULT);
    let RoleSettings::Storage { metadata, reserve } = settings.role else { panic!("a storage node") };
    assert_eq!(metadata.len(), 2);
    assert_eq!(reserve, Some(ByteCount(2 << 30)));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let environment = [("DFS_NODE", "3"), ("DFS_LOG_LEVEL", "debug"), ("DFS_CLUSTER", "/x"), ("PATH", "/bin")];
    let settings = load(Role::Storage, FILE, &environment, &[("node", "4"), ("data", "here")]).unwrap();
    assert_eq!(settings.node, NodeId(4));
    assert_eq!(settings.log_level.as_str(), "debug");
    assert_eq!(settings.data, Path::new("here"));
}

fn metadata(text: &str, flags: &[(&'static str, &str)]) -> Result<NodeSettings, String> {
    load(Role::Metadata, text, &[], flags)
}

const METADATA_FILE: &str = r#"
node = 1
listen = "127.0.0.1:7001"
data = "data"
ca = "ca.pem"
certificate = "metadata-1.pem"
key = "metadata-1.key"
"#;

fn snapshots_of(loaded: Result<NodeSettings, String>) -> u64 {
    let RoleSettings::Metadata { snapshot_entries } = loaded.unwrap().role else { panic!("a metadata node") };
    snapshot_entries
}

#[test]
fn metadata_nodes_take_snapshots_as_often_as_any_source_says() {
    let in_file = format!("{METADATA_FILE}snapshot_entries = 100");
    let variable = [("DFS_SNAPSHOT_ENTRIES", "1500")];
    assert_eq!(snapshots_of(metadata(METADATA_FILE, &[])), SNAPSHOT_ENTRIES_DEFAULT);
    assert_eq!(snapshots_of(metadata(&in_file, &[])), SNAPSHOT_ENTRIES_MIN);
    assert_eq!(snapshots_of(load(Role::Metadata, &in_file, &variable, &[])), 1_500);
    let flag = [("snapshot_entries", "1000000")];
    assert_eq!(snapshots_of(load(Role::Metadata, &in_file, &variable, &flag)), SNAPSHOT_ENTRIES_MAX);
}

#[test]
fn snapshots_too_often_or_too_seldom_are_refused_with_the_bounds() {
    for value in ["99", "0", "-100", "1000001", "often", ""] {
        let error = metadata(METADATA_FILE, &[("snapshot_entries", value)]).unwrap_err();
        let said = format!(
            "snapshot_entries = {value:?} on the command line (--snapshot-entries) is not valid; \
             expected 100 to 1000000"
        );
        assert_eq!(error, said);
    }
    let error = metadata(&format!("{METADATA_FILE}snapshot_entries = 20"), &[]).unwrap_err();
    assert!(error.starts_with("snapshot_entries = \"20\" in /etc/dfs/node.toml is not valid; expected"), "{error}");
}

#[test]
fn storage_nodes_take_no_snapshots() {
    let error = storage(&format!("{FILE}snapshot_entries = 500")).unwrap_err();
    assert_eq!(error, "\"snapshot_entries\" in /etc/dfs/node.toml is not a setting of storage nodes; remove it");
}

#[test]
fn an_unknown_key_is_named_with_the_key_that_was_meant() {
    let error = storage("listn = 1").unwrap_err();
    assert_eq!(error, "unknown setting \"listn\" in /etc/dfs/node.toml; did you mean \"listen\"?");
    let error = storage("quota = 1").unwrap_err();
    assert!(error.contains("\"quota\"") && error.contains("--help"), "{error}");
    let error = load(Role::Storage, FILE, &[("DFS_LOGLEVEL", "info")], &[]).unwrap_err();
    assert!(error.contains("(DFS_LOGLEVEL); did you mean \"log_level\"?"), "{error}");
}

#[test]
fn a_bad_unit_is_named_with_what_is_expected() {
    let error = load(Role::Storage, FILE, &[("DFS_RESERVE_BYTES", "5 gigs")], &[]).unwrap_err();
    assert_eq!(
        error,
        "reserve_bytes = \"5 gigs\" in the environment (DFS_RESERVE_BYTES) is not valid; \
         expected size such as 512MiB or 20GiB; 0 keeps nothing free"
    );
}

#[test]
fn values_outside_their_bounds_are_refused() {
    for (key, value) in [
        ("node", "0"),
        ("node", "-1"),
        ("listen", "localhost"),
        ("listen", "127.0.0.1"),
        ("metadata", ""),
        ("metadata", "127.0.0.1:7001,"),
        ("metadata", "0.0.0.0:7001"),
        ("max_udp_payload_bytes", "1199"),
        ("max_udp_payload_bytes", "6551"),
        ("max_udp_payload_bytes", "70000"),
        ("log_level", "loud"),
        ("log_level", "info,=debug"),
        ("log_format", "xml"),
        ("data", ""),
    ] {
        let error = load(Role::Storage, FILE, &[], &[(key, value)]).unwrap_err();
        assert!(error.starts_with(&format!("{key} = {value:?} on the command line (--")), "{error}");
        assert!(error.contains("expected"), "{error}");
    }
    assert!(storage(&FILE.replace("node = 2", "node = true")).unwrap_err().starts_with("node = \"true\""));
}

#[test]
fn impossible_combinations_are_refused_with_the_fix() {
    let error = load(Role::Storage, FILE, &[], &[("listen", "0.0.0.0:7102")]).unwrap_err();
    assert!(error.contains("set \"advertise\""), "{error}");
    let error = load(Role::Storage, FILE, &[], &[("advertise", "0.0.0.0:7102")]).unwrap_err();
    assert!(error.contains("real IP address"), "{error}");
    let error = load(Role::Storage, FILE, &[], &[("metadata", "127.0.0.1:7102")]).unwrap_err();
    assert!(error.contains("own listen address"), "{error}");
    let error = load(Role::Metadata, FILE, &[], &[]).unwrap_err();
    assert!(error.contains("is not a setting of metadata nodes; remove it"), "{error}");
}

#[test]
fn a_missing_setting_is_named_with_every_way_to_give_it() {
    let error = storage(&FILE.replace("node = 2", "")).unwrap_err();
    assert_eq!(error, "\"node\" is not set; give --node, DFS_NODE or `node = …` in the settings file");
    let error = storage(&FILE.replace("metadata =", "# ")).unwrap_err();
    assert!(error.contains("--metadata"), "{error}");
}

#[test]
fn broken_toml_is_reported_with_its_line_on_one_line() {
    let error = storage("node = 2\nlisten = \n").unwrap_err();
    assert!(error.contains("/etc/dfs/node.toml") && error.contains("line 2"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn a_certificate_of_another_node_is_refused() {
    let settings = storage(FILE).unwrap();
    assert_eq!(settings.check_identity(Role::Storage, "2"), Ok(()));
    for (role, name) in [(Role::Storage, "3"), (Role::Metadata, "2"), (Role::Client, "2")] {
        let error = settings.check_identity(role, name).unwrap_err().to_string();
        assert!(error.contains("this is storage 2"), "{error}");
    }
}

#[test]
fn every_setting_is_documented_and_has_its_own_key() {
    for (place, setting) in SETTINGS.iter().enumerate() {
        assert!(!setting.about.is_empty() && !setting.bounds.is_empty() && !setting.default.is_empty());
        assert!(SETTINGS[..place].iter().all(|other| other.key != setting.key), "{}", setting.key);
    }
}
