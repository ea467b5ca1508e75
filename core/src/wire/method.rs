//! What requests are called, for those who count and log them.

use super::chunk::{HeldChunks, ReadChunk, WriteChunk, WriteReplica};
use super::membership::{Beat, Register};
use super::metadata::{
    AllocateGroup, ChangeSettings, ClusterStatus, CommitFile, CreateFile, DeleteFile, DescribeNode, ListFiles,
    ListLevel, ListNodes, ListUploads, LocateGroups, LocateUpload, MoveName, NodeHistory, ResumeUpload, ShowSettings,
    ShowTime, StatFile, WhoLeads,
};
use super::{Request, Service};

/// What a request that has no name here is called.
pub const OTHER: &str = "other";

const fn named<R: Request>(name: &'static str) -> (Service, u8, &'static str) {
    (R::SERVICE, R::METHOD, name)
}

/// Every request that has a name. Those of the Raft protocol are its own affair.
const NAMES: &[(Service, u8, &str)] = &[
    named::<CreateFile>("create_file"),
    named::<AllocateGroup>("allocate_group"),
    named::<CommitFile>("commit_file"),
    named::<StatFile>("stat_file"),
    named::<ListFiles>("list_files"),
    named::<ListLevel>("list_level"),
    named::<ListUploads>("list_uploads"),
    named::<LocateGroups>("locate_groups"),
    named::<DeleteFile>("delete_file"),
    named::<MoveName>("move_name"),
    named::<ResumeUpload>("resume_upload"),
    named::<LocateUpload>("locate_upload"),
    named::<WhoLeads>("who_leads"),
    named::<ListNodes>("list_nodes"),
    named::<ClusterStatus>("cluster_status"),
    named::<ShowSettings>("show_settings"),
    named::<ChangeSettings>("change_settings"),
    named::<NodeHistory>("node_history"),
    named::<ShowTime>("show_time"),
    named::<Register>("register"),
    named::<Beat>("beat"),
    named::<ReadChunk>("read_chunk"),
    named::<WriteChunk>("write_chunk"),
    named::<HeldChunks>("held_chunks"),
    named::<WriteReplica>("write_replica"),
    named::<DescribeNode>("describe_node"),
];

/// Every request that has a name: its service, its number there, and the name.
pub fn all() -> impl Iterator<Item = (Service, u8, &'static str)> {
    NAMES.iter().copied()
}

/// The name of a service's method; [`OTHER`] if it has none, so that strangers cannot make names up.
#[must_use]
pub fn method_name(service: Service, method: u8) -> &'static str {
    let found = NAMES.iter().find(|(of, number, _)| (*of, *number) == (service, method));
    found.map_or(OTHER, |(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_request_has_a_name_and_a_number_of_its_own() {
        // The sources say which requests there are.
        let mut sources = String::new();
        let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if !path.ends_with("method.rs") {
                    sources += &std::fs::read_to_string(path).unwrap();
                }
            }
        }
        let requests: Vec<String> = sources
            .split("\nimpl Request for ")
            .skip(1)
            .map(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default())
            .map(|request| {
                let mut name = String::new();
                for letter in request.chars() {
                    if letter.is_uppercase() && !name.is_empty() {
                        name.push('_');
                    }
                    name.extend(letter.to_lowercase());
                }
                name
            })
            .collect();
        let named: BTreeSet<&str> = NAMES.iter().map(|(_, _, name)| *name).collect();
        for request in &requests {
            assert!(named.contains(request.as_str()), "{request} has no name");
        }
        assert_eq!(requests.len(), NAMES.len());
        let numbers: BTreeSet<(Service, u8)> = NAMES.iter().map(|(service, number, _)| (*service, *number)).collect();
        assert_eq!(numbers.len(), NAMES.len(), "two requests share a number");
        assert_eq!(method_name(Service::Chunks, 250), OTHER);
    }
}
