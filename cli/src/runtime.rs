//! The runtime that a verb runs in: one thread, the real world, and an ear for Ctrl-C.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use dfs_transport::world::World;

/// Runs a future to its end. What still blocks then (a read of standard input) is left to the end of the process.
///
/// # Errors
/// Those of `work`, or the runtime cannot be made.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(Exit::Failure, format_args!("cannot make a runtime: {cause}")))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

/// Runs a verb to its end, with the real world.
///
/// # Errors
/// Those of `verb`, or the runtime cannot be made.
pub fn run<T>(name: &str, verb: impl AsyncFnOnce(World) -> Result<T, Failure>) -> Result<T, Failure> {
    block_on(async {
        let world = World::production(name);
        let scope = world.scope.clone();
        let outcome = scope.enter(verb(world)).await;
        scope.kill();
        outcome
    })
}

/// Runs a verb that Ctrl-C ends at once: whatever it owns is dropped, and cleans up by that.
///
/// # Errors
/// Those of `verb`, or the runtime cannot be made, or the user interrupted it.
pub fn run_interruptible<T>(name: &str, verb: impl AsyncFnOnce(World) -> Result<T, Failure>) -> Result<T, Failure> {
    run(name, async |world| {
        let mut interrupt = Interrupt::listen()?;
        tokio::select! {
            outcome = verb(world) => outcome,
            () = interrupt.heard() => Err(Failure::interrupted()),
        }
    })
}
