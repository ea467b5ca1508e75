//! Nobody gets in without a fitting certificate, and keys stay private.

use crate::cluster::{Cluster, Ran, bytes, executable};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A58: no certificate of another authority gets in; both sides say so.
#[test]
fn a_certificate_of_another_authority_is_refused_on_both_sides() {
    let cluster = Cluster::start(1, 1);
    let scratch = cluster.scratch();
    let foreign = scratch.path().join("foreign");
    let mut certificates = executable();
    certificates.args(["certs", "dev", "--dir"]).arg(&foreign);
    Ran::of(certificates).succeeds();
    let address = cluster.json(&["nodes"])["metadata"][0]["address"].as_str().unwrap().to_owned();
    let client = |ca: &Path| {
        let file = scratch.path().join("client.toml");
        let (certificate, key) = (foreign.join("client.pem"), foreign.join("client.key"));
        let text = format!("addresses = [\"{address}\"]\nca = {ca:?}\ncertificate = {certificate:?}\nkey = {key:?}\n");
        std::fs::write(&file, text).unwrap();
        cluster.run(&["list", "--cluster", file.to_str().unwrap(), "--timeout", "3s"])
    };
    client(&foreign.join("ca.pem")).fails(5, "certificate");
    client(&cluster.path().join("certs").join("ca.pem")).fails(8, "trust domain");
    let log = std::fs::read_to_string(cluster.path().join("nodes/metadata-1/log")).unwrap();
    assert!(log.to_lowercase().contains("certificate"), "the node says why it refused:\n{log}");
}

/// A61: garbage on the port of each node changes nothing.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
fn garbage_on_the_wire_stops_no_node() {
    let cluster = Cluster::shared();
    cluster.put("a61", b"before");
    let nodes = cluster.json(&["nodes"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let all = nodes["metadata"].as_array().unwrap().iter().chain(nodes["storage"].as_array().unwrap());
    for node in all {
        let address = node["address"].as_str().unwrap();
        for size in [1_usize, 20, 1199, 1200, 1452, 9000, 60_000] {
            for seed in 0..20 {
                let mut datagram = bytes(size, seed + size as u64);
                // Half of them look like the first packet of a connection: long header, version 1.
                if seed % 2 == 0 && size > 6 {
                    datagram[0] = 0xc0 | (datagram[0] & 0x0f);
                    datagram[1..5].copy_from_slice(&[0, 0, 0, 1]);
                }
                let _ = socket.send_to(&datagram, address);
            }
        }
    }
    assert_eq!(cluster.get("a61"), b"before");
    let status = cluster.json(&["status"]);
    assert_eq!(status["storage"]["alive"], 3, "{status}");
}

fn keys_below(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            keys_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "key") {
            found.push(path);
        }
    }
}

/// A62.
#[test]
fn private_keys_are_for_their_owner_alone_and_stand_in_no_log() {
    let cluster = Cluster::shared();
    let mut keys = Vec::new();
    keys_below(&cluster.path(), &mut keys);
    assert!(keys.len() >= 8, "an authority, six nodes and a client: {keys:?}");
    let mut secrets = Vec::new();
    for key in &keys {
        let mode = std::fs::metadata(key).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", key.display());
        let text = std::fs::read_to_string(key).unwrap();
        secrets.push(text.lines().nth(1).expect("a PEM body").to_owned());
    }
    for node in std::fs::read_dir(cluster.path().join("nodes")).unwrap() {
        let log = std::fs::read_to_string(node.unwrap().path().join("log")).unwrap();
        assert!(secrets.iter().all(|secret| !log.contains(secret)));
    }
    let shown = cluster.run(&["certs", "show", keys[0].to_str().unwrap()]);
    assert!(secrets.iter().all(|secret| !shown.out.contains(secret) && !shown.err.contains(secret)));
}

/// A62: a key that others can read is refused.
#[test]
fn a_key_that_others_can_read_is_refused() {
    let cluster = Cluster::start(1, 1);
    let key = cluster.path().join("certs").join("client.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = cluster.run(&["list"]);
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("chmod 600"), "{}", ran.err);
}
