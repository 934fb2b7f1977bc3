//! Bytes that no pattern tells apart share a column.

use crate::glob::ByteSet;

/// Byte to class, and the number of classes. The slash has a class of its own.
pub(crate) fn byte_classes<'s>(sets: impl Iterator<Item = &'s ByteSet>) -> ([u8; 256], usize) {
    let mut classes = [0_u16; 256];
    classes[usize::from(b'/')] = 1;
    let mut count = 2;
    for set in sets {
        // Each class that the set cuts in two gives a new class to the part inside.
        let mut inside = vec![None; count];
        let mut outside = vec![false; count];
        for byte in 1..=255_u8 {
            if !set.contains(byte) {
                outside[usize::from(classes[usize::from(byte)])] = true;
            }
        }
        for byte in set.iter().filter(|byte| *byte != 0) {
            let class = &mut classes[usize::from(byte)];
            let old = usize::from(*class);
            if outside[old] {
                *class = *inside[old].get_or_insert_with(|| {
                    count += 1;
                    (count - 1) as u16
                });
            }
        }
    }
    classes[0] = classes[1];
    // At most 255 classes, since every class holds one of the 255 bytes above zero.
    (classes.map(|class| class as u8), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_apart_still_fits() {
        let sets: Vec<ByteSet> = (1..=255)
            .map(|byte| {
                let mut set = ByteSet::EMPTY;
                set.insert(byte);
                set
            })
            .collect();
        let (classes, count) = byte_classes(sets.iter());
        assert!(count <= 256, "{count}");
        let distinct: std::collections::HashSet<u8> = classes[1..].iter().copied().collect();
        assert_eq!(distinct.len(), 255);
    }
}
