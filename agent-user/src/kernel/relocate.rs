//! Fills the running kernel's offsets and addresses into the object's instructions; what stands
//! there before is in [`agent_abi::relocation`].

use agent_abi::relocation::{ARGUMENT, DISTANCE, MEMBER, READ_ONLY_CAST, VALUE, VALUES, ZERO};
use object::{File, Object, ObjectSection, SectionKind};

use super::error::KernelError;

/// Size of an instruction; a 64-bit constant takes two.
const INSTRUCTION: usize = 8;

const CLASS: u8 = 0x07;
const CLASS_LOAD: u8 = 0x01;
const ADD_CONSTANT: u8 = 0x07;
const LOAD_CONSTANT: u8 = 0x18;
const CALL: u8 = 0x85;
const MOVE_CONSTANT: u8 = 0xb7;
/// `BPF_PSEUDO_KFUNC_CALL` as the source register: a function of the kernel, by its BTF number.
const KERNEL_FUNCTION: u8 = 2 << 4;
/// `r0 = r1`
const MOVE_FIRST_ARGUMENT: [u8; INSTRUCTION] = [0xbf, 0x10, 0, 0, 0, 0, 0, 0];

/// `goto +0`, which the verifier takes out.
const NOTHING: [u8; INSTRUCTION] = [0x05, 0, 0, 0, 0, 0, 0, 0];

/// What is filled in.
pub(super) struct Values {
    /// Offset of each member of the table of kernel fields, in its order.
    pub(super) members: Vec<u32>,
    /// Offset in a program's context of each of the table of hooks' arguments, in its order.
    pub(super) arguments: Vec<u32>,
    /// Each of [`agent_abi::relocation::Value`], in its order.
    pub(super) values: [u64; VALUES],
    /// BTF number of `bpf_rdonly_cast`, where the kernel has it.
    pub(super) read_only_cast: Option<u32>,
}

/// A copy of the object for this kernel.
///
/// # Errors
/// An offset does not fit into an instruction, or the object is not one.
pub(super) fn relocate(object: &[u8], values: &Values) -> Result<Aligned, KernelError> {
    let mut copy = Aligned::copy(object);
    let file = File::parse(object).map_err(|error| KernelError::Load(error.to_string()))?;
    for section in file.sections() {
        if section.kind() != SectionKind::Text {
            continue;
        }
        let Some((start, length)) = section.file_range() else {
            continue;
        };
        let range = usize::try_from(start)
            .ok()
            .zip(usize::try_from(length).ok());
        let code = range
            .and_then(|(start, length)| copy.bytes_mut().get_mut(start..start + length))
            .ok_or_else(|| KernelError::Load("a section of the object is out of bounds".into()))?;
        fill_in(code, values)?;
    }
    Ok(copy)
}

fn fill_in(code: &mut [u8], values: &Values) -> Result<(), KernelError> {
    let mut at = 0;
    while let Some(instruction) = code.get_mut(at..at + INSTRUCTION) {
        let opcode = instruction[0];
        let is_wide = opcode == LOAD_CONSTANT;
        if is_wide {
            if let Some(pair) = code.get_mut(at..at + 2 * INSTRUCTION) {
                fill_in_constant(pair, values);
            }
        } else if opcode & CLASS == CLASS_LOAD {
            fill_in_load(instruction, values)?;
        } else if opcode == ADD_CONSTANT {
            fill_in_distance(instruction, values);
        } else if opcode == CALL {
            fill_in_call(instruction, values);
        } else if opcode == MOVE_CONSTANT {
            fill_in_zero(instruction, values);
        }
        at += if is_wide {
            2 * INSTRUCTION
        } else {
            INSTRUCTION
        };
    }
    Ok(())
}

/// `*(reg + MEMBER + index)`, and the same with `ARGUMENT`.
fn fill_in_load(instruction: &mut [u8], values: &Values) -> Result<(), KernelError> {
    let operand = i16::from_le_bytes([instruction[2], instruction[3]]);
    let above = |base: i16| usize::try_from(i32::from(operand) - i32::from(base)).ok();
    let member = above(MEMBER).and_then(|index| values.members.get(index));
    let argument = || above(ARGUMENT).and_then(|index| values.arguments.get(index));
    let Some(offset) = member.or_else(argument) else {
        return Ok(());
    };
    let offset = i16::try_from(*offset).map_err(|_| {
        KernelError::Btf(format!("offset {offset} does not fit into an instruction"))
    })?;
    instruction[2..4].copy_from_slice(&offset.to_le_bytes());
    Ok(())
}

/// `reg += DISTANCE + index`, or the negative of it.
fn fill_in_distance(instruction: &mut [u8], values: &Values) {
    let operand = i32::from_le_bytes([
        instruction[4],
        instruction[5],
        instruction[6],
        instruction[7],
    ]);
    let Some(offset) = usize::try_from(operand.unsigned_abs())
        .ok()
        .and_then(|operand| operand.checked_sub(DISTANCE as usize))
        .and_then(|index| values.members.get(index))
    else {
        return;
    };
    let offset = offset.cast_signed() * operand.signum();
    instruction[4..8].copy_from_slice(&offset.to_le_bytes());
}

/// `call READ_ONLY_CAST`
fn fill_in_call(instruction: &mut [u8], values: &Values) {
    let registers_and_offset = &instruction[1..4];
    if registers_and_offset != [0; 3] || instruction[4..8] != READ_ONLY_CAST.to_le_bytes() {
        return;
    }
    match values.read_only_cast {
        Some(function) => {
            instruction[1] = KERNEL_FUNCTION;
            instruction[4..8].copy_from_slice(&function.to_le_bytes());
        }
        None => instruction.copy_from_slice(&MOVE_FIRST_ARGUMENT),
    }
}

/// `r0 = ZERO`
fn fill_in_zero(instruction: &mut [u8], values: &Values) {
    if instruction[1..4] != [0; 3] || instruction[4..8] != ZERO.to_le_bytes() {
        return;
    }
    match values.read_only_cast {
        Some(_) => instruction[4..8].fill(0),
        None => instruction.copy_from_slice(&NOTHING),
    }
}

/// `reg = VALUE + index ll`: the two halves are in the two instructions.
fn fill_in_constant(pair: &mut [u8], values: &Values) {
    let low = [pair[4], pair[5], pair[6], pair[7]];
    let high = [pair[12], pair[13], pair[14], pair[15]];
    let operand = u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32;
    let Some(value) = operand
        .checked_sub(VALUE)
        .and_then(|index| values.values.get(usize::try_from(index).ok()?))
    else {
        return;
    };
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    pair[4..8].copy_from_slice(&[a, b, c, d]);
    pair[12..16].copy_from_slice(&[e, f, g, h]);
}

/// Bytes at an address that suits every structure of an ELF file.
pub(super) struct Aligned {
    words: Vec<u64>,
    length: usize,
}

impl Aligned {
    fn copy(bytes: &[u8]) -> Self {
        let mut copy = Self {
            words: vec![0; bytes.len().div_ceil(size_of::<u64>())],
            length: bytes.len(),
        };
        copy.bytes_mut().copy_from_slice(bytes);
        copy
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the words are at least so many bytes, and every byte pattern is one.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and every byte pattern is a word.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values {
            members: vec![8, 1234],
            arguments: vec![0, 16],
            values: [0xffff_ffff_8123_4567, 1, 0, 0],
            read_only_cast: Some(4711),
        }
    }

    /// Opcode, destination register 1, offset and immediate operand.
    fn instruction(opcode: u8, offset: i16, immediate: i32) -> Vec<u8> {
        let mut bytes = vec![opcode, 1];
        bytes.extend(offset.to_le_bytes());
        bytes.extend(immediate.to_le_bytes());
        bytes
    }

    #[track_caller]
    fn becomes(mut before: Vec<u8>, after: &[u8]) {
        fill_in(&mut before, &values()).unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn a_load_gets_the_members_offset() {
        becomes(
            instruction(0x61, MEMBER + 1, 0),
            &instruction(0x61, 1234, 0),
        );
        becomes(instruction(0x79, MEMBER, 0), &instruction(0x79, 8, 0));
    }

    #[test]
    fn a_load_from_the_context_gets_the_arguments_place() {
        becomes(
            instruction(0x79, ARGUMENT + 1, 0),
            &instruction(0x79, 16, 0),
        );
    }

    #[test]
    fn a_distance_keeps_its_direction() {
        becomes(
            instruction(0x07, 0, DISTANCE + 1),
            &instruction(0x07, 0, 1234),
        );
        becomes(
            instruction(0x07, 0, -(DISTANCE + 1)),
            &instruction(0x07, 0, -1234),
        );
    }

    #[test]
    fn a_constant_gets_both_halves() {
        let [low, high] = [VALUE, VALUE >> 32].map(|half| half as u32 as i32);
        let before = [instruction(0x18, 0, low), instruction(0, 0, high)].concat();
        let after = [
            instruction(0x18, 0, 0x8123_4567_u32 as i32),
            instruction(0, 0, -1),
        ]
        .concat();
        becomes(before, &after);
    }

    #[test]
    fn a_cast_becomes_a_call_of_the_kernel_or_a_move() {
        let mut call = instruction(CALL, 0, READ_ONLY_CAST);
        call[1] = 0;
        let mut old = call.clone();
        fill_in(&mut call, &values()).unwrap();
        assert_eq!(call, [0x85, 0x20, 0, 0, 0x67, 0x12, 0, 0]);
        let without = Values {
            read_only_cast: None,
            ..values()
        };
        fill_in(&mut old, &without).unwrap();
        assert_eq!(old, [0xbf, 0x10, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_zero_is_one_or_nothing() {
        let mut zero = instruction(MOVE_CONSTANT, 0, ZERO);
        zero[1] = 0;
        let mut old = zero.clone();
        fill_in(&mut zero, &values()).unwrap();
        assert_eq!(zero, [0xb7, 0, 0, 0, 0, 0, 0, 0]);
        let without = Values {
            read_only_cast: None,
            ..values()
        };
        fill_in(&mut old, &without).unwrap();
        assert_eq!(old, NOTHING);
    }

    #[test]
    fn everything_else_stays() {
        let ordinary = [
            instruction(0x61, 16, 0),
            instruction(0x61, -8, 0),
            instruction(0x63, MEMBER, 0), // a store
            instruction(0x07, 0, 8),
            instruction(0x07, 0, i32::MIN),
            instruction(0x18, 0, 7),
            instruction(0x61, MEMBER, 0), // the second half of the constant before it
            instruction(0x85, 0, 1),
        ]
        .concat();
        becomes(ordinary.clone(), &ordinary);
    }

    #[test]
    fn an_offset_beyond_an_instruction_is_an_error() {
        let values = Values {
            members: vec![1 << 15],
            arguments: Vec::new(),
            values: [0; VALUES],
            read_only_cast: None,
        };
        let mut code = instruction(0x61, MEMBER, 0);
        assert!(fill_in(&mut code, &values).is_err());
    }
}
