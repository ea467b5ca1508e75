//! `certs`: development certificates in one step, and each step by hand.

use crate::certificate::{self, CertificateDirectory, VALIDITY};
use crate::failure::Failure;
use crate::launcher::Shape;
use crate::moment;
use crate::output::print;
use crate::runtime;
use clap::{Args, Subcommand};
use dfs_core::id::Role;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  dfs-cli certs dev --dir certs                              all that 3 + 3 nodes and a client need
  dfs-cli certs ca --dir certs                               an authority
  dfs-cli certs issue --role metadata --name 1 --dir certs   a certificate for metadata node 1
  dfs-cli certs issue --role client --name alice --dir certs
  dfs-cli certs show certs/metadata-1.pem

Keys are files of mode 0600. Whoever has ca.key can be any node or client: keep it away from the nodes.";

/// Make certificates
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CertsArgs {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Make an authority, node certificates and a client certificate, as far as they are missing
    #[command(after_help = "Example:\n  dfs-cli certs dev --dir certs -m 3 -s 5")]
    Dev {
        /// The directory to make them in
        #[arg(long, value_name = "DIR", default_value = "certs")]
        dir: PathBuf,
        /// Metadata nodes
        #[arg(short, long, value_name = "N", default_value_t = 3)]
        metadata: u16,
        /// Storage nodes
        #[arg(short, long, value_name = "N", default_value_t = 3)]
        storage: u16,
    },
    /// Make an authority
    #[command(after_help = "Example:\n  dfs-cli certs ca --dir certs")]
    Ca {
        /// The directory to make it in
        #[arg(long, value_name = "DIR", default_value = "certs")]
        dir: PathBuf,
    },
    /// Issue a certificate with a new key
    #[command(after_help = "Examples:\n  dfs-cli certs issue --role storage --name 4\n  \
                                        dfs-cli certs issue --role client --name alice --days 30")]
    Issue {
        /// What its holder may be: metadata, storage or client
        #[arg(long)]
        role: Role,
        /// The number of the node, or the name of the client
        #[arg(long)]
        name: String,
        /// How long it is valid
        #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
        /// The directory of the authority, where the certificate is made too
        #[arg(long, value_name = "DIR", default_value = "certs")]
        dir: PathBuf,
    },
    /// Show what a certificate says
    #[command(after_help = "Example:\n  dfs-cli certs show certs/metadata-1.pem")]
    Show {
        /// The certificate (PEM)
        file: PathBuf,
    },
}

impl CertsArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime::run("certs", async |world| match self.step {
            Step::Dev { dir, metadata, storage } => {
                let shape = Shape::new(metadata, storage).map_err(crate::launcher::LauncherError::from)?;
                let nodes = shape.names().map(|name| (name.role, name.node.to_string()));
                let made = CertificateDirectory::new(&dir).complete(&world, nodes)?;
                for path in &made {
                    print(format_args!("made {}\n", path.display()))?;
                }
                if made.is_empty() {
                    print(format_args!("{} has all of them already\n", dir.display()))?;
                }
                Ok(())
            }
            Step::Ca { dir } => {
                let directory = CertificateDirectory::new(&dir);
                directory.create_authority(&world)?;
                let files = directory.authority_files();
                print(format_args!("made {} and {}\n", files.certificate.display(), files.key.display()))
            }
            Step::Issue { role, name, days, dir } => {
                let validity = VALIDITY / 365 * days;
                let files = CertificateDirectory::new(&dir).issue(&world, role, &name, validity)?;
                print(format_args!("made {} and {}\n", files.certificate.display(), files.key.display()))
            }
            Step::Show { file } => show(&file, world.wall_clock.now()),
        })
    }
}

fn show(file: &Path, now: dfs_core::time::WallTime) -> Result<(), Failure> {
    let summary = certificate::inspect(file)?;
    let holder = match (summary.is_authority, summary.role) {
        (false, Some(role)) => format!("{role} {}", summary.name),
        _ => "authority".to_owned(),
    };
    let left = summary.not_after.0.saturating_sub(now.0);
    let state = if now < summary.not_before {
        "not valid yet".to_owned()
    } else if left == 0 {
        "expired".to_owned()
    } else {
        format!("{} left", moment::span(Duration::from_millis(left)))
    };
    print(format_args!(
        "holder       {holder}\n\
         domain       {}\n\
         valid from   {} UTC\n\
         valid until  {} UTC ({state})\n\
         fingerprint  {} (SHA-256)\n",
        summary.domain,
        moment::for_people(summary.not_before),
        moment::for_people(summary.not_after),
        summary.fingerprint,
    ))
}
