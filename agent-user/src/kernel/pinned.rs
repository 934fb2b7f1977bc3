//! Maps that an earlier daemon pinned: taken over only if they are those that this build expects.

use agent_abi::names;
use aya::maps::{MapData, MapInfo, MapType};
use aya_obj::{Object, generated::bpf_map_type};

use super::{error::KernelError, load::map_pin, maps::pinned_maps};

/// Compares every pinned map with the object's definition of it.
///
/// # Errors
/// One has another type or size: it is of another version, and programs that were loaded with it would be
/// refused by the verifier, or read what was never there.
pub(super) fn check(object: &[u8]) -> Result<(), KernelError> {
    let object = Object::parse(object).map_err(|error| KernelError::Load(error.to_string()))?;
    for name in pinned_maps() {
        let path = map_pin(name);
        let Some(expected) = object.maps.get(name) else {
            return Err(KernelError::Load(format!("the object has no map {name}")));
        };
        if !path.exists() {
            continue;
        }
        let fits = MapData::from_pin(&path)
            .and_then(|map| map.info())
            .map(|found| Shape::of(&found) == Shape::expected(expected));
        let reason = match fits {
            Ok(true) => continue,
            Ok(false) => format!(
                "this map was made by another version of Bailiff. End the sessions of that version, \
                 then remove {}",
                names::PIN_ROOT
            ),
            Err(error) => error.to_string(),
        };
        return Err(KernelError::Pin { path, reason });
    }
    Ok(())
}

/// What programs take for granted of a map.
#[derive(PartialEq)]
struct Shape {
    map_type: Option<MapType>,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

impl Shape {
    fn of(found: &MapInfo) -> Self {
        Self {
            map_type: found.map_type().ok(),
            key_size: found.key_size(),
            value_size: found.value_size(),
            max_entries: found.max_entries(),
        }
    }

    fn expected(map: &aya_obj::Map) -> Self {
        let map_type = bpf_map_type::try_from(map.map_type()).ok();
        Self {
            map_type: map_type.and_then(|number| MapType::try_from(number).ok()),
            key_size: map.key_size(),
            value_size: map.value_size(),
            max_entries: map.max_entries(),
        }
    }
}
