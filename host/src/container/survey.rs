//! Finds out what a container holds, and where: by its footers, or by looking for every record there is.

use super::{
    ChunkInfo, Entry, FileInfo,
    bytes::Bytes,
    carrier::Carrier,
    crc::one_byte_errors,
    payload::{ENTRIES, ENTRY_BYTES, FOOTER_BYTES, Footer, Index, Table, decode_recovery},
    read::{LOOK_AHEAD_BYTES, carrier_at, is_ours},
    record::{HEADER_BYTES, Header, Kind, MAGIC, MAX_PAYLOAD_BYTES, Uid},
    writer::root,
};
use crate::algorithm::KNOWN;
use memchr::memmem;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

/// Bytes searched for records at a time.
const SCAN_BYTES: usize = 1 << 20;
/// Most records that are looked at: more than a file of a terabyte has.
const MAX_RECORDS: usize = 4 << 20;
/// Bytes at the end in which footers are looked for.
const TAIL_BYTES: u64 = 1024;
/// Most shifts of content that are followed: each insertion or deletion makes one.
const MAX_SHIFTS: usize = 64;

/// What is known about a container.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub file: Option<FileInfo>,
    pub carrier: Option<Carrier>,
    pub uid: Uid,
    /// By number; none where nothing says what the chunk was.
    pub entries: BTreeMap<u64, Entry>,
    /// Original bytes, if anything says how many there were.
    pub raw_bytes: Option<u64>,
    /// Where else the frame of a chunk may stand, by number.
    pub places: HashMap<u64, Vec<u64>>,
    /// Tables by the start of their group.
    pub tables: BTreeMap<u64, Table>,
    /// Where the shard of each sound recovery record begins, by group and number.
    pub recovery: HashMap<(u64, u32), u64>,
    /// Distances, in bytes, between where records stand and where they were written.
    pub shifts: Vec<i64>,
    /// Records found sound, by kind.
    pub counts: Counts,
    /// Whether footer or index tell where the original ends, and the chunks follow each other up to there.
    pub is_complete: bool,
    /// Whether there is more in the file than this container.
    pub has_strangers: bool,
}

/// Sound records of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    pub file: usize,
    pub chunk: usize,
    pub index: usize,
    pub table: usize,
    pub recovery: usize,
    pub footer: usize,
}

/// A record, where its header stands, and in what it is wrapped.
struct Found {
    at: u64,
    header: Header,
    carrier: Option<Carrier>,
}

impl Survey {
    /// What the footers and the index say, if all of it is sound and the container is all of `bytes`.
    pub(crate) fn by_footer(bytes: &(impl Bytes + ?Sized)) -> Option<Self> {
        let start = bytes.len().saturating_sub(TAIL_BYTES);
        let tail = bytes.get(start, (bytes.len() - start) as usize)?;
        let at_end = |at: usize| {
            let header = Header::decode(&tail[at..]).ok()?;
            let carrier = carrier_at(&tail, at, header.record_bytes())?;
            (header.kind == Kind::Footer && header.offset == start + at as u64).then_some(())?;
            let payload = checked_payload(&tail, at, &header)?;
            let footer = Footer::decode(payload)?;
            let wrapped = (carrier.head_bytes() + HEADER_BYTES + FOOTER_BYTES + carrier.tail_bytes()) as u64;
            let ends = footer.body_bytes.checked_add(2 * wrapped)? == bytes.len();
            ends.then_some((carrier, header.uid, footer))
        };
        let found: Vec<usize> = memmem::find_iter(&tail, &MAGIC).collect();
        let (carrier, uid, footer) = found.into_iter().rev().find_map(at_end)?;
        let mut survey = Self { uid, ..Self::default() };
        survey.read_index(bytes, &footer, carrier)?;
        let (header, payload) = record_at(bytes, footer.file_offset, &uid)?;
        let file = FileInfo::decode(&payload).filter(|_| header.kind == Kind::File)?;
        survey.carrier = Some(file.carrier);
        survey.file = Some(file);
        survey.raw_bytes = Some(footer.raw_bytes);
        survey.is_complete = true;
        let most = survey.file.as_ref().map_or(0, |f| f.chunk_bytes);
        let fits = survey.entries.values().all(|e| u64::from(e.chunk.raw_bytes) <= most);
        (fits && survey.is_consistent()).then_some(survey)
    }

    /// Reads all entries through the footer's pointer.
    fn read_index(&mut self, bytes: &(impl Bytes + ?Sized), footer: &Footer, carrier: Carrier) -> Option<()> {
        let mut encoded = Vec::new();
        let mut at = footer.index_offset;
        while (self.entries.len() as u64) < footer.chunks {
            let (header, payload) = record_at(bytes, at, &self.uid)?;
            let entries = match header.kind {
                Kind::Index => Index::decode(&payload).map(|i| i.entries).filter(|e| !e.is_empty())?,
                // A single chunk needs no index. Its frame is the first thing, or stands behind its record.
                Kind::Chunk => {
                    let chunk = ChunkInfo::decode(&payload)?;
                    let behind = at + (header.record_bytes() + carrier.tail_bytes()) as u64;
                    let is_native = behind + u64::from(chunk.frame_bytes) == footer.body_bytes;
                    vec![Entry { chunk, frame_offset: if is_native { behind } else { 0 } }]
                }
                // Parity may stand between the parts of a long index.
                Kind::Table | Kind::Recovery => Vec::new(),
                _ => return None,
            };
            encoded.extend(entries.iter().flat_map(Entry::encode));
            self.entries.extend(entries.into_iter().map(|e| (e.chunk.number, e)));
            at += (header.record_bytes() + carrier.tail_bytes() + carrier.head_bytes()) as u64;
        }
        (root(&encoded) == footer.root && encoded.len() as u64 == footer.chunks * ENTRY_BYTES as u64)
            .then_some(())
    }

    /// Whether the chunks follow each other without gaps up to the end.
    fn is_consistent(&self) -> bool {
        let mut end = 0;
        for (number, Entry { chunk, .. }) in (0..).zip(self.entries.values()) {
            if (chunk.number, chunk.raw_offset) != (number, end) {
                return false;
            }
            end = chunk.raw_end();
        }
        self.raw_bytes == Some(end) && !self.entries.is_empty()
    }

    /// Looks at every record there is; `None` if there are none.
    pub(crate) fn by_scan(bytes: &(impl Bytes + ?Sized)) -> Option<Self> {
        let mut found = scan(bytes);
        let uid = principal(&found)?;
        without_copies(&mut found, &uid);
        let mut survey = Self { uid, ..Self::default() };
        let mut facts = Facts::default();
        survey.carrier = found.iter().filter(|f| f.header.uid == uid).find_map(|f| f.carrier);
        for Found { at, header, .. } in found.iter().filter(|f| f.header.uid == uid) {
            survey.note_shift((*at as i64).wrapping_sub(header.offset as i64));
            let payload = bytes.get(at + HEADER_BYTES as u64, header.payload_bytes);
            let Some(payload) = payload else { continue };
            let (counts, is_sound) = (survey.counts, crc32fast::hash(&payload) == header.payload_crc);
            if let Some(payload) = mended_payload(payload, header) {
                survey.add(*at, header, &payload, &mut facts);
            }
            if !is_sound {
                survey.counts = counts;
            }
        }
        survey.add_pointed_at(bytes, &mut facts);
        survey.conclude(facts);
        survey.has_strangers |= survey.finds_strangers(bytes, &found);
        survey.is_complete &= !survey.has_strangers;
        Some(survey)
    }

    /// Whether something stands before or behind the container that is not of it: damage has made one file of two, or they
    /// were one after the other. (A container may lie within a frame, though.)
    fn finds_strangers(&self, bytes: &(impl Bytes + ?Sized), found: &[Found]) -> bool {
        let (own, others): (Vec<&Found>, Vec<&Found>) = found.iter().partition(|f| f.header.uid == self.uid);
        let (Some(first), Some(last)) = (own.first(), own.last()) else { return false };
        // Two that begin alike have the same uid.
        let mut seen = HashSet::new();
        let once = [Kind::File, Kind::Index, Kind::Footer];
        if !own.iter().filter(|f| once.contains(&f.header.kind)).all(|f| seen.insert(f.header.sequence)) {
            return true;
        }
        let frames = |number: &u64, entry: &Entry| {
            let places = self.places.get(number).into_iter().flatten().copied();
            let len = u64::from(entry.chunk.frame_bytes);
            places.chain([entry.frame_offset]).map(|at| at..at.saturating_add(len)).collect::<Vec<_>>()
        };
        let frames: Vec<_> = self.entries.iter().flat_map(|(n, e)| frames(n, e)).collect();
        let outside = |f: &&&Found| f.at < first.at || f.at > last.at;
        let apart = |f: &&Found| !frames.iter().any(|frame| frame.contains(&f.at));
        if others.iter().filter(outside).copied().any(|f| apart(&f)) {
            return true;
        }
        if self.lies_within_another(bytes, first) {
            return true;
        }
        let carrier = self.carrier.unwrap_or(Carrier::Frames);
        // Where one footer was found the other may be there, damaged.
        let footers = own.iter().filter(|f| f.header.kind == Kind::Footer).count();
        let wrapped = (last.header.record_bytes() + carrier.tail_bytes()) as u64;
        let missing = if footers < 2 { carrier.head_bytes() as u64 + wrapped } else { 0 };
        let end = last.at + wrapped + missing;
        last.header.kind == Kind::Footer && !is_zero_from(bytes, end)
    }

    /// Whether the file begins as a known format does, and the container, `first` its first record, begins behind that: it is
    /// what another tool packed, and not what the file is.
    fn lies_within_another(&self, bytes: &(impl Bytes + ?Sized), first: &Found) -> bool {
        let carrier = self.carrier.unwrap_or(Carrier::Frames);
        let chunk = self.entries.get(&0).map(|e| &e.chunk).filter(|_| carrier != Carrier::Native);
        let frame_bytes = chunk.map_or(0, |c| c.frame_bytes as usize);
        let start = first.at.checked_sub((carrier.head_bytes() + frame_bytes) as u64);
        let Some(start) = start.filter(|at| *at > 0 && first.header.sequence == 0) else { return false };
        let frame = bytes.get(start, frame_bytes).unwrap_or_default();
        let head = bytes.get(0, start.min(128) as usize).unwrap_or_default();
        let known = KNOWN.iter().find(|k| !k.magic.is_empty() && head.starts_with(k.magic));
        // Another format can only be around it.
        if known.is_some_and(|k| Carrier::of(k.name) != carrier) {
            return true;
        }
        let begins = bytes.get(start, (bytes.len() - start).min(128) as usize).unwrap_or_default();
        if is_ours(&head) && is_ours(&begins) {
            return true;
        }
        // Where content was inserted within the first frame, that frame begins where the file does.
        if chunk.is_some_and(|c| crc32fast::hash(&frame) != c.frame_crc) {
            return false;
        }
        !frame.starts_with(&head) && known.is_some()
    }

    fn note_shift(&mut self, shift: i64) {
        if !self.shifts.contains(&shift) && self.shifts.len() < MAX_SHIFTS {
            self.shifts.push(shift);
        }
    }

    /// Takes in what one sound record says.
    fn add(&mut self, at: u64, header: &Header, payload: &[u8], facts: &mut Facts) {
        let carrier = self.carrier.unwrap_or(Carrier::Frames);
        match header.kind {
            Kind::File => {
                if let Some(file) = FileInfo::decode(payload) {
                    self.counts.file += 1;
                    self.carrier = Some(file.carrier);
                    facts.first_file.get_or_insert(at);
                    self.file = Some(file);
                }
            }
            Kind::Chunk => {
                if let Some(chunk) = ChunkInfo::decode(payload) {
                    self.counts.chunk += 1;
                    let behind = (header.record_bytes() + carrier.tail_bytes()) as u64;
                    facts.chunks.entry(chunk.number).or_default().push((
                        at + behind,
                        header.offset.saturating_add(behind),
                        chunk,
                    ));
                }
            }
            Kind::Index => {
                if let Some(index) = Index::decode(payload) {
                    self.counts.index += 1;
                    self.raw_bytes = Some(index.raw_bytes);
                    facts.index.extend(index.entries.into_iter().map(|e| (e.chunk.number, e)));
                }
            }
            Kind::Table => {
                if let Some(table) = Table::decode(payload) {
                    self.counts.table += 1;
                    self.tables.insert(table.start, table);
                }
            }
            Kind::Recovery => {
                if let Some((group, number, _)) = decode_recovery(payload) {
                    self.counts.recovery += 1;
                    self.recovery.insert((group, number), at + HEADER_BYTES as u64 + 16);
                }
            }
            Kind::Footer => {
                if let Some(footer) = Footer::decode(payload) {
                    self.counts.footer += 1;
                    facts.footer = Some(footer);
                }
            }
        }
    }

    /// The records that a footer points at, should their headers be damaged.
    fn add_pointed_at(&mut self, bytes: &(impl Bytes + ?Sized), facts: &mut Facts) {
        let Some(footer) = facts.footer else { return };
        for offset in [footer.file_offset, footer.index_offset] {
            for shift in self.shifts.clone() {
                let Some(at) = offset.checked_add_signed(shift) else { continue };
                if let Some((header, payload)) = mended_record_at(bytes, at, &self.uid) {
                    let known = self.counts;
                    self.add(at, &header, &payload, facts);
                    // Found by mending, not sound.
                    self.counts = known;
                }
            }
        }
    }

    /// How many records of each kind there should be.
    pub(crate) fn expected(&self) -> Counts {
        let parity = self.file.as_ref().is_some_and(|f| f.parity_percent > 0) || !self.tables.is_empty();
        let has_index = parity || self.entries.len() != 1;
        Counts {
            file: if has_index { 2 } else { 1 },
            chunk: self.entries.len(),
            index: if has_index { self.entries.len().div_ceil(ENTRIES) } else { 0 },
            table: 2 * self.tables.len().max(usize::from(parity)),
            recovery: self.tables.values().map(|t| t.recovery.len()).sum(),
            footer: 2,
        }
    }

    /// Takes in more records, read from `image`: the restored bytes of a parity group that starts at `start`.
    pub(crate) fn add_restored(&mut self, image: &[u8], start: u64) {
        let mut facts = Facts::default();
        let counts = self.counts;
        for Found { at, header, .. } in scan(image) {
            if header.uid == self.uid
                && header.offset == start + at
                && let Some(payload) = checked_payload(image, at as usize, &header)
            {
                self.add(start + at, &header, payload, &mut facts);
            }
        }
        self.counts = counts;
        self.conclude(facts);
    }

    /// Makes entries of what the records said.
    fn conclude(&mut self, facts: Facts) {
        if let Some(footer) = facts.footer {
            self.raw_bytes = Some(footer.raw_bytes);
        }
        let carrier = self.carrier.unwrap_or(Carrier::Frames);
        for (number, records) in facts.chunks {
            for (place, canonical, chunk) in records {
                let before_file = facts.first_file.and_then(|at| {
                    at.checked_sub(carrier.head_bytes() as u64 + u64::from(chunk.frame_bytes))
                });
                let is_first = number == 0 && carrier != Carrier::Native;
                let places = self.places.entry(number).or_default();
                places.extend(before_file.filter(|_| is_first));
                places.push(place);
                let frame_offset = if is_first { 0 } else { canonical };
                let known =
                    self.entries.entry(number).or_insert(Entry { chunk: chunk.clone(), frame_offset });
                // Two that begin alike have the same uid: whose chunk this is cannot be told.
                self.has_strangers |= known.chunk != chunk;
            }
        }
        // The index is believed before a record that stands somewhere.
        for (number, entry) in facts.index {
            let before = self.entries.insert(number, entry.clone());
            self.has_strangers |= before.is_some_and(|b| b.chunk != entry.chunk);
        }
        self.is_complete = self.is_consistent() && !self.has_strangers;
    }
}

/// A stretch of the original.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Place in the original; up to `u64::MAX` where nothing tells the end.
    pub range: std::ops::Range<u64>,
    /// The chunk that holds it, if that is known.
    pub entry: Option<Entry>,
}

impl Survey {
    /// The whole original, chunks and gaps.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut end = 0;
        let gap = |range: std::ops::Range<u64>| (!range.is_empty()).then_some(Piece { range, entry: None });
        for entry in self.entries.values() {
            let (start, after) = (entry.chunk.raw_offset, entry.chunk.raw_end());
            // Chunks that overlap others cannot both be right; their numbers say which comes first.
            if start < end {
                continue;
            }
            pieces.extend(gap(end..start));
            pieces.push(Piece { range: start..after, entry: Some(entry.clone()) });
            end = after;
        }
        let all = self.raw_bytes.filter(|_| !self.has_strangers);
        pieces.extend(gap(end..all.unwrap_or(u64::MAX)));
        pieces
    }
}

/// What records said, before it is put together.
#[derive(Default)]
struct Facts {
    /// Place of the first file record.
    first_file: Option<u64>,
    /// For each number: where the frame stands, where it was written, and what it is.
    chunks: BTreeMap<u64, Vec<(u64, u64, ChunkInfo)>>,
    index: BTreeMap<u64, Entry>,
    footer: Option<Footer>,
}

/// Whether nothing but zeros stands from `at` on.
fn is_zero_from(bytes: &(impl Bytes + ?Sized), mut at: u64) -> bool {
    while at < bytes.len() {
        let len = (bytes.len() - at).min(SCAN_BYTES as u64);
        if bytes.get(at, len as usize).is_none_or(|block| block.iter().any(|b| *b != 0)) {
            return false;
        }
        at += len;
    }
    true
}

/// All sound headers, and where they stand.
fn scan(bytes: &(impl Bytes + ?Sized)) -> Vec<Found> {
    let finder = memmem::Finder::new(&MAGIC);
    let mut found = Vec::new();
    // Blocks overlap by a wrapper and a header.
    const OVERLAP: usize = 2 * HEADER_BYTES;
    let mut buffer = vec![0; SCAN_BYTES + OVERLAP];
    let mut start = 0;
    while start < bytes.len() && found.len() < MAX_RECORDS {
        let len = (bytes.len() - start).min(buffer.len() as u64) as usize;
        bytes.read_lossy(&mut buffer[..len], start);
        let first = if start == 0 { 0 } else { HEADER_BYTES };
        for at in finder
            .find_iter(&buffer[..len])
            .filter(|at| (first..SCAN_BYTES + first.max(HEADER_BYTES)).contains(at))
        {
            if let Ok(header) = Header::decode(&buffer[at..len]) {
                let carrier = carrier_at(&buffer[..len], at, header.record_bytes());
                found.push(Found { at: start + at as u64, header, carrier });
            }
        }
        start += SCAN_BYTES as u64;
    }
    found
}

/// Whether `bytes` has any record of a container where its first one must be, or at the end.
pub(crate) fn has_records(bytes: &(impl Bytes + ?Sized)) -> bool {
    let tail = bytes.len().saturating_sub(TAIL_BYTES);
    let any = |start: u64, len: u64| {
        let mut at = start;
        let end = start.saturating_add(len).min(bytes.len());
        while at < end {
            let take = (end - at).min((SCAN_BYTES + HEADER_BYTES) as u64) as usize;
            let block = bytes.get(at, take).unwrap_or_default();
            if memmem::find_iter(&block, &MAGIC).any(|i| {
                Header::decode(&block[i..]).is_ok_and(|h| h.offset.abs_diff(at + i as u64) < 1 << 20)
            }) {
                return true;
            }
            at += SCAN_BYTES as u64;
        }
        false
    };
    any(tail, TAIL_BYTES) || any(0, LOOK_AHEAD_BYTES as u64)
}

/// The container that the file is: of those whose records stand nearest to where they were written, the one with most of
/// them, and of two with as many the one that begins first. One within another stands elsewhere, and has left single records in it at most.
fn principal(found: &[Found]) -> Option<Uid> {
    let mut ranks: HashMap<Uid, (Reverse<u64>, usize, Reverse<u64>)> = HashMap::new();
    for f in found {
        let rank = ranks.entry(f.header.uid).or_insert((Reverse(u64::MAX), 0, Reverse(f.at)));
        rank.0 = rank.0.max(Reverse(f.at.abs_diff(f.header.offset)));
        rank.1 += 1;
    }
    ranks.into_iter().max_by_key(|(_, rank)| *rank).map(|(uid, _)| uid)
}

/// Drops what lies within recovery shards of `uid`: where a group is small, they are copies of its records.
fn without_copies(found: &mut Vec<Found>, uid: &Uid) {
    let mut shard = 0..0;
    found.retain(|f| {
        if shard.contains(&f.at) {
            return false;
        }
        if f.header.uid == *uid && f.header.kind == Kind::Recovery {
            shard = f.at..f.at + f.header.record_bytes() as u64;
        }
        true
    });
}

fn checked_payload<'a>(bytes: &'a [u8], at: usize, header: &Header) -> Option<&'a [u8]> {
    let payload = bytes.get(at + HEADER_BYTES..)?.get(..header.payload_bytes)?;
    (crc32fast::hash(payload) == header.payload_crc).then_some(payload)
}

/// The payload, if it is sound or has one damaged byte.
fn mended_payload(mut payload: Vec<u8>, header: &Header) -> Option<Vec<u8>> {
    mend_one_byte(&mut payload, header.payload_crc).then_some(payload)
}

/// Whether `bytes` has the CRC, perhaps after one byte was corrected, which must be the only way.
fn mend_one_byte(bytes: &mut [u8], crc: u32) -> bool {
    let syndrome = crc32fast::hash(bytes) ^ crc;
    if syndrome == 0 {
        return true;
    }
    let mut errors = one_byte_errors(bytes.len(), syndrome);
    match (errors.next(), errors.next()) {
        (Some((at, xor)), None) => {
            bytes[at] ^= xor;
            true
        }
        _ => false,
    }
}

/// The sound record whose header was written at `at`.
fn record_at(bytes: &(impl Bytes + ?Sized), at: u64, uid: &Uid) -> Option<(Header, Vec<u8>)> {
    let header = Header::decode(&bytes.get(at, HEADER_BYTES)?).ok()?;
    (header.uid == *uid && header.offset == at).then_some(())?;
    let payload = bytes.get(at + HEADER_BYTES as u64, header.payload_bytes)?;
    (crc32fast::hash(&payload) == header.payload_crc).then_some((header, payload))
}

/// As `record_at`, with one damaged byte in header and payload each; the record may have moved.
fn mended_record_at(bytes: &(impl Bytes + ?Sized), at: u64, uid: &Uid) -> Option<(Header, Vec<u8>)> {
    let mut head = bytes.get(at, HEADER_BYTES)?;
    if Header::decode(&head).is_err() {
        let crc = u32::from_le_bytes(head[60..].try_into().ok()?);
        // Either a byte of the header is wrong, or one of its CRC: then the header makes sense as it is.
        if !mend_one_byte(&mut head[..60], crc) {
            let crc = crc32fast::hash(&head[..60]);
            head[60..].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let header = Header::decode(&head).ok().filter(|h| h.uid == *uid)?;
    debug_assert!(header.payload_bytes <= MAX_PAYLOAD_BYTES);
    let payload = bytes.get(at + HEADER_BYTES as u64, header.payload_bytes)?;
    mended_payload(payload, &header).map(|payload| (header, payload))
}
