//! Changing what the whole cluster agrees on.

use super::Work;
use crate::verdict::AnyError;
use dfs_client::ClientError;
use dfs_core::name::FileName;
use dfs_core::settings::{ClusterSettings, SettingChange};

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
}
