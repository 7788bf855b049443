//! The flow hash: which slot a client's packets fall into, as Cilium ≥ 1.17 computes it in its datapath
//! (`bpf/lib/hash.h`, `hash_from_tuple_v4` and `hash_from_tuple_v6`, over `bpf/lib/jhash.h`).
//!
//! The address of the service is not hashed: the same client, with the same ports, falls into the same slot of every
//! table of one size.

/// `JHASH_INITVAL` of Bob Jenkins' hash.
const INITIAL: u32 = 0xdead_beef;

/// What is hashed of the ports: the two as they stand in the packet, the service's in the upper half.
#[inline(always)]
const fn ports(client_port: u16, service_port: u16) -> u32 {
    ((service_port.to_be() as u32) << 16) | client_port.to_be() as u32
}

/// The hash of an IPv4 flow.
///
/// `client_port` is 0 for a service with source affinity. `protocol` is the number in the IP header; `seed` the
/// second word of the hash seed (`HASH_INIT4_SEED`).
#[must_use]
#[inline(always)]
pub const fn hash_v4(client: [u8; 4], client_port: u16, service_port: u16, protocol: u8, seed: u32) -> u32 {
    let start = seed.wrapping_add(INITIAL).wrapping_add(3 << 2);
    finish(
        u32::from_ne_bytes(client).wrapping_add(start),
        ports(client_port, service_port).wrapping_add(start),
        (protocol as u32).wrapping_add(start),
    )
}

/// The hash of an IPv6 flow; its arguments are those of [`hash_v4`], `seed` is the third word (`HASH_INIT6_SEED`).
#[must_use]
#[inline(always)]
pub const fn hash_v6(client: [u8; 16], client_port: u16, service_port: u16, protocol: u8, seed: u32) -> u32 {
    let [p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, p12, p13, p14, p15] = client;
    let (a, b, c) = mix(
        u32::from_ne_bytes([p0, p1, p2, p3]),
        u32::from_ne_bytes([p4, p5, p6, p7]),
        u32::from_ne_bytes([p8, p9, p10, p11]),
    );
    let (a, b, c) = mix(
        a.wrapping_add(u32::from_ne_bytes([p12, p13, p14, p15])),
        b.wrapping_add(ports(client_port, service_port)),
        c.wrapping_add(protocol as u32),
    );
    finish(a.wrapping_add(seed), b, c)
}

/// `__jhash_mix`.
#[inline(always)]
const fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

/// `__jhash_final`, of which the third word is the hash.
#[inline(always)]
const fn finish(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}
