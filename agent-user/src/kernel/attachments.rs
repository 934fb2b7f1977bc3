//! The table of attachments that is in force, looked up where no daemon is asked.

use agent_abi::{Label, attachment::Attachments, names};
use aya::maps::MapData;

use super::{KernelError, load::map_pin, sys::Map};

/// The table in force. `None`: there is none.
///
/// # Errors
/// The kernel side is not loaded.
pub(super) fn table(attachments: &Map<u32, u32>) -> Result<Option<Box<Attachments>>, KernelError> {
    let Some(id) = attachments.get(&0)? else {
        return Ok(None);
    };
    let map = MapData::from_id(id).map_err(|error| KernelError::Pin {
        path: map_pin(names::ATTACHMENTS),
        reason: error.to_string(),
    })?;
    Map::<u32, Attachments>::from_data(names::ATTACHMENTS, map).get_boxed(&0)
}

/// The label that a unit's cgroup will get, in whatever slice it is.
///
/// # Errors
/// The kernel side is not loaded.
pub fn label_of_unit(unit: &str) -> Result<Option<Label>, KernelError> {
    let map = Map::open(names::ATTACHMENTS, &map_pin(names::ATTACHMENTS))?;
    let Some(table) = table(&map)? else {
        return Ok(None);
    };
    let path = [b"/", unit.as_bytes()].concat();
    let step = |state, byte: &u8| table.step(state, *byte);
    let label = table.label(path.iter().fold(table.start, step)).in_force();
    Ok(Some(label).filter(|label| label.is_some()))
}
