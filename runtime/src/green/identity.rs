//! The identity of a green thread, valid also after its end.

/// The source location of a spawn.
pub(crate) type SpawnSite = &'static std::panic::Location<'static>;

/// The id of a green thread, the id of its spawner, and where it was spawned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) id: u64,
    /// Zero for a root green thread.
    pub(crate) parent: u64,
    pub(crate) site: SpawnSite,
}
