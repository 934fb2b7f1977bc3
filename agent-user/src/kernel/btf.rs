//! The running kernel's type information, as far as offsets and hooks need it.
//!
//! Own code, because aya keeps member offsets to itself and the other reader of BTF is under a
//! licence that a static binary does not go well with. Format:
//! Documentation/bpf/btf.rst in the kernel sources.

use std::{collections::HashMap, path::Path};

use super::error::KernelError;

const MAGIC: u16 = 0xeb9f;

/// What the functions' names begin with that stand for LSM hooks.
pub(super) const LSM_HOOK: &str = "bpf_lsm_";

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FWD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_FLOAT: u32 = 16;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Types of one BTF blob, by number, with the names of structs and functions.
pub(super) struct Btf {
    types: Vec<Type>,
    structs: HashMap<String, u32>,
    functions: HashMap<String, Function>,
    typedefs: HashMap<String, u32>,
}

struct Type {
    kind: u32,
    /// Size, or the type referred to.
    target: u32,
    members: Vec<Member>,
}

#[derive(Clone, Copy)]
struct Function {
    number: u32,
    prototype: u32,
}

struct Member {
    name: String,
    target: u32,
    /// From the start of the struct.
    bits: u32,
    is_bit_field: bool,
}

impl Btf {
    /// Reads `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// The file is missing (a kernel without `CONFIG_DEBUG_INFO_BTF`) or not BTF.
    pub(super) fn of_running_kernel() -> Result<Self, KernelError> {
        let path = Path::new("/sys/kernel/btf/vmlinux");
        let blob = std::fs::read(path).map_err(|source| KernelError::Unreadable {
            path: path.into(),
            source,
            hint: "Bailiff needs a kernel built with CONFIG_DEBUG_INFO_BTF=y",
        })?;
        Self::parse(&blob)
    }

    /// Parses a blob of BTF in this machine's byte order.
    pub(super) fn parse(blob: &[u8]) -> Result<Self, KernelError> {
        let header = Reader { blob, at: 0 };
        let mut reader = header;
        if reader.u16()? != MAGIC {
            return Err(KernelError::Btf("wrong magic number".into()));
        }
        reader.at = 4;
        let header_len = reader.u32()? as usize;
        let type_start = header_len.saturating_add(reader.u32()? as usize);
        let type_len = reader.u32()? as usize;
        let string_start = header_len.saturating_add(reader.u32()? as usize);
        let string_len = reader.u32()? as usize;
        let strings = blob
            .get(string_start..string_start.saturating_add(string_len))
            .ok_or_else(|| KernelError::Btf("strings out of bounds".into()))?;
        let types = blob
            .get(type_start..type_start.saturating_add(type_len))
            .ok_or_else(|| KernelError::Btf("types out of bounds".into()))?;
        let mut btf = Self {
            types: vec![Type {
                kind: 0,
                target: 0,
                members: Vec::new(),
            }],
            structs: HashMap::new(),
            functions: HashMap::new(),
            typedefs: HashMap::new(),
        };
        let mut reader = Reader { blob: types, at: 0 };
        while reader.at < types.len() {
            btf.read_type(&mut reader, strings)?;
        }
        Ok(btf)
    }

    fn read_type(&mut self, reader: &mut Reader<'_>, strings: &[u8]) -> Result<(), KernelError> {
        let name = string(strings, reader.u32()?);
        let info = reader.u32()?;
        let target = reader.u32()?;
        let (count, kind, flag) = (info & 0xffff, info >> 24 & 0x1f, info >> 31 == 1);
        let number = u32::try_from(self.types.len()).unwrap_or(u32::MAX);
        let mut members = Vec::new();
        match kind {
            KIND_INT | KIND_VAR | KIND_DECL_TAG => reader.skip(4)?,
            KIND_ARRAY => reader.skip(12)?,
            KIND_ENUM => reader.skip(8 * count as usize)?,
            KIND_DATASEC | KIND_ENUM64 => reader.skip(12 * count as usize)?,
            KIND_STRUCT | KIND_UNION => {
                for _ in 0..count {
                    let name = string(strings, reader.u32()?);
                    let target = reader.u32()?;
                    let offset = reader.u32()?;
                    // With the flag, the upper byte is the size of a bit field.
                    let bits = if flag { offset & 0x00ff_ffff } else { offset };
                    members.push(Member {
                        name,
                        target,
                        bits,
                        is_bit_field: flag && offset >> 24 != 0,
                    });
                }
                if !name.is_empty() {
                    self.structs.entry(name).or_insert(number);
                }
            }
            KIND_FUNC_PROTO => {
                for _ in 0..count {
                    let name = string(strings, reader.u32()?);
                    members.push(Member {
                        name,
                        target: reader.u32()?,
                        bits: 0,
                        is_bit_field: false,
                    });
                }
            }
            KIND_FUNC => {
                self.functions.insert(
                    name,
                    Function {
                        number,
                        prototype: target,
                    },
                );
            }
            KIND_TYPEDEF => {
                self.typedefs.entry(name).or_insert(target);
            }
            KIND_PTR | KIND_FWD | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_FLOAT
            | KIND_TYPE_TAG => {}
            // How long it is cannot be told, nor where the next begins.
            _ => {
                let reason = format!("type {number} is of the unknown kind {kind}");
                return Err(KernelError::Btf(reason));
            }
        }
        self.types.push(Type {
            kind,
            target,
            members,
        });
        Ok(())
    }

    /// Byte offset of a member, given as the struct and the way to it; members of anonymous
    /// structs and unions are found as in C.
    ///
    /// # Errors
    /// There is no such struct or member, or it is a bit field.
    pub(super) fn offset_of(&self, structure: &str, members: &[&str]) -> Result<u32, KernelError> {
        let missing = || KernelError::NoSuchField(format!("{structure}.{}", members.join(".")));
        let mut number = *self.structs.get(structure).ok_or_else(missing)?;
        let mut bits = 0_u32;
        for member in members {
            let (offset, target) = member
                .split('|')
                .find_map(|way| self.follow(number, way))
                .ok_or_else(missing)?;
            bits = bits.checked_add(offset).ok_or_else(missing)?;
            number = target;
        }
        if !bits.is_multiple_of(8) {
            return Err(missing());
        }
        Ok(bits / 8)
    }

    /// Bits from the start of a structure to the end of a way with dots between its members, and the type
    /// there.
    fn follow(&self, number: u32, way: &str) -> Option<(u32, u32)> {
        way.split('.')
            .try_fold((0_u32, number), |(bits, at), name| {
                let (offset, target) = self.find(at, name, 0)?;
                Some((bits.checked_add(offset)?, self.resolve(target)))
            })
    }

    fn find(&self, number: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        let structure = self.types.get(self.resolve(number) as usize)?;
        if depth > 8 || !matches!(structure.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        structure.members.iter().find_map(|member| {
            if member.name == name {
                return (!member.is_bit_field).then_some((member.bits, member.target));
            }
            if !member.name.is_empty() {
                return None;
            }
            let (bits, target) = self.find(member.target, name, depth + 1)?;
            Some((member.bits.checked_add(bits)?, target))
        })
    }

    /// Whether a member of a struct shares its place with others. The verifier trusts no pointer
    /// that was loaded from such a place (`btf_struct_walk()`).
    pub(super) fn is_shared(&self, structure: &str, member: &str) -> bool {
        let Some(number) = self.structs.get(structure) else {
            return true;
        };
        let Some(found) = self.types.get(*number as usize) else {
            return true;
        };
        !found
            .members
            .iter()
            .any(|candidate| candidate.name == member)
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut number: u32) -> u32 {
        for _ in 0..32 {
            let Some(found) = self.types.get(number as usize) else {
                break;
            };
            match found.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    number = found.target;
                }
                _ => break,
            }
        }
        number
    }

    /// Number of a function; `None` where the kernel has none of that name.
    pub(super) fn function(&self, name: &str) -> Option<u32> {
        self.functions.get(name).map(|function| function.number)
    }

    /// The LSM hooks, by name and sorted: functions that stand for them begin alike. A few functions
    /// of the BPF security module itself are among them.
    pub(super) fn lsm_hooks(&self) -> Vec<&str> {
        let names = self.functions.keys();
        let mut hooks = names
            .filter_map(|name| name.strip_prefix(LSM_HOOK))
            .collect::<Vec<_>>();
        hooks.sort_unstable();
        hooks
    }

    /// Number of a struct; `None` where the kernel has none of that name.
    pub(super) fn structure(&self, name: &str) -> Option<u32> {
        self.structs.get(name).copied()
    }

    /// Names of a function's parameters; `None` where the kernel has no such function.
    pub(super) fn parameters_of(&self, function: &str) -> Option<Vec<&str>> {
        let function = self.functions.get(function)?;
        let prototype = self.types.get(function.prototype as usize)?;
        Some(
            prototype
                .members
                .iter()
                .map(|member| member.name.as_str())
                .collect(),
        )
    }

    /// How many arguments a tracepoint gives to a `tp_btf` program; `None` where the kernel has no
    /// such tracepoint.
    pub(super) fn tracepoint_arguments(&self, tracepoint: &str) -> Option<usize> {
        let pointer = *self.typedefs.get(&format!("btf_trace_{tracepoint}"))?;
        let pointer = self.types.get(self.resolve(pointer) as usize)?;
        if pointer.kind != KIND_PTR {
            return None;
        }
        let prototype = self.types.get(pointer.target as usize)?;
        // The first is the probe's own `void *__data`.
        (prototype.kind == KIND_FUNC_PROTO).then(|| prototype.members.len().saturating_sub(1))
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    blob: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], KernelError> {
        let bytes = self
            .blob
            .get(self.at..self.at.saturating_add(N))
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| KernelError::Btf("it ends in the middle of a type".into()))?;
        self.at += N;
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16, KernelError> {
        Ok(u16::from_ne_bytes(self.take()?))
    }

    fn u32(&mut self) -> Result<u32, KernelError> {
        Ok(u32::from_ne_bytes(self.take()?))
    }

    fn skip(&mut self, bytes: usize) -> Result<(), KernelError> {
        let end = self.at.saturating_add(bytes);
        if end > self.blob.len() {
            return Err(KernelError::Btf("it ends in the middle of a type".into()));
        }
        self.at = end;
        Ok(())
    }
}

fn string(strings: &[u8], offset: u32) -> String {
    let bytes = strings.get(offset as usize..).unwrap_or_default();
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests;
