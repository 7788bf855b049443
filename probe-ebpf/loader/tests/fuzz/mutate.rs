//! Frames changed at random.

use fastrand::Rng;

/// What a frame has in front of its IP header at most, and how much of it a change goes to most often.
const HEADERS: usize = 100;

/// Frames are not made longer than this: the programs look at headers in one piece of memory alone.
const MOST: usize = 3000;

/// The frame, changed in one to four ways; `other` lends it bytes.
pub(crate) fn mutated(frame: &[u8], other: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut frame = frame[..frame.len().min(MOST)].to_vec();
    for _ in 0..random.usize(1..5) {
        change(&mut frame, other, random);
    }
    // The kernel runs no program on less than an Ethernet header.
    frame.resize(frame.len().clamp(14, MOST), 0);
    frame
}

fn change(frame: &mut Vec<u8>, other: &[u8], random: &mut Rng) {
    if frame.is_empty() {
        frame.push(random.u8(..));
    }
    let most = if random.u8(..) < 200 { frame.len().min(HEADERS) } else { frame.len() };
    let place = random.usize(..most);
    match random.u32(..11) {
        0..2 => frame[place] ^= 1 << random.u32(..8),
        2 => frame[place] = random.u8(..),
        3 => frame[place] = *choose(&[0, 1, 2, 4, 5, 6, 17, 44, 58, 60, 64, 0x45, 0x60, 0x80, 0xff], random),
        4 => frame[place] = frame[place].wrapping_add(*choose(&[1, 0xff], random)),
        5 => frame.truncate(random.usize(..frame.len())),
        6 => {
            let length = random.usize(1..40);
            frame.extend(std::iter::repeat_with(|| random.u8(..)).take(length));
        }
        // A length near what is right.
        7 => {
            let told = frame.len().saturating_sub(*choose(&[14, 34, 54, 18, 58], random));
            let told = u16::try_from(told).unwrap_or(u16::MAX).wrapping_add(random.u16(..5)).wrapping_sub(2);
            let place = *choose(&[16, 18, 38, 58, 20, 22, 42], random);
            if let Some(bytes) = frame.get_mut(place..place + 2) {
                bytes.copy_from_slice(&told.to_be_bytes());
            }
        }
        8 => {
            let end = (place + random.usize(1..9)).min(frame.len());
            frame.drain(place..end);
        }
        9 => {
            let length = random.usize(1..9);
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            frame.splice(place..place, bytes);
        }
        _ => {
            let from = random.usize(..other.len());
            frame.truncate(place);
            frame.extend(&other[from..]);
        }
    }
}

fn choose<'a, T>(of: &'a [T], random: &mut Rng) -> &'a T {
    &of[random.usize(..of.len())]
}
