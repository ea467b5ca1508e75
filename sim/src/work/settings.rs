//! What the whole cluster agrees on: changed by its users, and read by them.

use super::Work;
use crate::history::{Operation, Outcome};
use crate::verdict::{AnyError, Failure};
use dfs_client::ClientError;
use dfs_core::name::FileName;
use dfs_core::settings::SettingKey::{self, BeatIntervalMs, DeadAfterMs, SuspectAfterMs};
use dfs_core::settings::{ClusterSettings, SettingChange};

/// Settings that are changed together are seen together.
pub const SETTINGS_WHOLE: &str = "settings-whole";

/// Detection windows that users agree on, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows(u64);

impl Windows {
    /// All that there are, from those that a cluster begins with.
    const ALL: [[(SettingKey, u64); 3]; 3] = [
        [(BeatIntervalMs, 3_000), (SuspectAfterMs, 10_000), (DeadAfterMs, 30_000)],
        [(BeatIntervalMs, 1_000), (SuspectAfterMs, 3_000), (DeadAfterMs, 8_000)],
        [(BeatIntervalMs, 4_000), (SuspectAfterMs, 15_000), (DeadAfterMs, 40_000)],
    ];

    /// The number of the last.
    pub const LAST: u64 = Windows::ALL.len() as u64 - 1;

    /// Those of this number; of the last, beyond it.
    #[must_use]
    pub fn numbered(number: u64) -> Windows {
        Windows(number.min(Windows::LAST))
    }

    fn changes(self) -> Vec<SettingChange> {
        Windows::ALL[self.0 as usize].map(|(key, value)| SettingChange { key, value }).to_vec()
    }

    fn of(settings: &ClusterSettings) -> Option<Windows> {
        let same = |values: &[(SettingKey, u64); 3]| values.iter().all(|(key, value)| settings.get(*key) == *value);
        Windows::ALL.iter().position(same).map(|number| Windows(number as u64))
    }
}

impl Work<'_> {
    /// Changes settings, all together or none; answers those that are then in force.
    ///
    /// # Errors
    /// It does not end.
    pub async fn change_settings(
        &self,
        changes: &[SettingChange],
    ) -> Result<Result<ClusterSettings, ClientError>, AnyError> {
        let changing = self.user.client().change_settings(changes.to_vec());
        let changed = self.finish("settings", &FileName::new("settings")?, changing).await?;
        let outcome = if changed.is_ok() { "done" } else { "refused" };
        self.shared.tally.operation("settings", outcome);
        self.shared.trace.record("settings", format_args!("user-{} {changes:?}: {changed:?}", self.number));
        Ok(changed)
    }

    /// Agrees on other windows. In the history they are the content of a name that no file has.
    ///
    /// # Errors
    /// It does not end, or other windows are in force than anybody asked for.
    pub async fn agree_on(&self, windows: Windows) -> Result<Outcome, AnyError> {
        let operation = Operation::Overwrite { content: windows.0 };
        let call = self.shared.history.invoke(self.number, &register()?, operation);
        let outcome = match self.change_settings(&windows.changes()).await? {
            Ok(settings) => {
                self.known_windows(&settings)?;
                Outcome::Done
            }
            Err(_) => Outcome::Unknown,
        };
        self.shared.history.respond(call, outcome);
        Ok(outcome)
    }

    /// Reads the windows that are in force.
    ///
    /// # Errors
    /// It does not end, or nobody asked for such.
    pub async fn see_windows(&self) -> Result<Outcome, AnyError> {
        let register = register()?;
        let call = self.shared.history.invoke(self.number, &register, Operation::Read);
        let outcome = match self.finish("settings", &register, self.user.client().settings()).await? {
            Ok(settings) => Outcome::Found(self.known_windows(&settings)?.0),
            Err(_) => Outcome::Unknown,
        };
        self.shared.history.respond(call, outcome);
        Ok(outcome)
    }

    fn known_windows(&self, settings: &ClusterSettings) -> Result<Windows, Failure> {
        self.shared.tally.checked(SETTINGS_WHOLE, 1);
        Windows::of(settings).ok_or_else(|| {
            Failure::correctness(SETTINGS_WHOLE, format!("nobody asked for such settings: {settings:?}"))
        })
    }
}

/// What the windows are called in the history. No file has that name.
fn register() -> Result<FileName, AnyError> {
    Ok(FileName::new("the windows")?)
}
