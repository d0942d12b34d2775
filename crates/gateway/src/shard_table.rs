//! What the shards export: each family's name, what it means, and its place in a sheet.

use crate::sent_kind::SentKind;
use crate::shard_families::{Family, Place};
use crate::shard_sheet::{SEND_MODES, TRANSPORTS};
use tickcast_wire::Channel;

/// The family that the door's requests belong to as well.
pub(crate) const REQUESTS: &str = "tickcast_gateway_requests_total";

/// Which way a compressed message went, and how long it was in which form.
const DIRECTIONS: [&str; 2] = ["out", "in"];

/// All of them.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        name: "tickcast_gateway_connections",
        help: "Clients connected to the shards now, by transport. A sudden fall means that clients \
               were lost: look at connections_closed_total by code.",
        labels: &["transport"],
        place: Place::Levels(|sheet, each| {
            let open = TRANSPORTS.into_iter().zip(&sheet.connections);
            open.for_each(|(transport, figure)| each(&[transport], figure));
        }),
    },
    Family {
        name: "tickcast_gateway_connections_opened_total",
        help: "Clients that a shard has taken over from the door, by transport. Far above the \
               usual rate: clients reconnect in a loop, or a proxy closes them.",
        labels: &["transport"],
        place: Place::Counts(|sheet, each| {
            let opened = TRANSPORTS.into_iter().zip(&sheet.opened);
            opened.for_each(|(transport, figure)| each(&[transport], figure));
        }),
    },
    Family {
        name: "tickcast_gateway_connections_closed_total",
        help: "Connections closed, by close code. 1000, 1001 and 1006 are clients that leave; 44xx \
               were told not to come back unchanged, 45xx to come back later. 4508 takes no data, \
               4500 is a fault of this service.",
        labels: &["code"],
        place: Place::Counts(|sheet, each| {
            sheet.closes().for_each(|(code, figure)| each(&[&code], figure));
        }),
    },
    Family {
        name: "tickcast_gateway_subscriptions",
        help: "Streams (an instrument on a channel) that clients get, each counted for every \
               client, by channel.",
        labels: &["channel"],
        place: Place::Levels(|sheet, each| {
            let streams = Channel::ALL.into_iter().zip(&sheet.subscriptions);
            streams.for_each(|(channel, figure)| each(&[channel.name()], figure));
        }),
    },
    Family {
        name: "tickcast_gateway_messages_sent_total",
        help: "Data messages whose first byte at least the kernel has taken, by channel and \
               encoding; each once, also where a client could not take it at first. None while \
               clients are subscribed and feeds are live: nobody sees prices.",
        labels: &["channel", "encoding"],
        place: Place::Counts(|sheet, each| {
            for kind in SentKind::all() {
                let labels = [kind.channel().name(), kind.encoding().name()];
                each(&labels, &sheet.messages[kind.index()]);
            }
        }),
    },
    Family {
        name: "tickcast_gateway_bytes_sent_total",
        help: "Bytes of the messages in messages_sent_total, with WebSocket heads and after \
               compression, before TLS.",
        labels: &["channel", "encoding"],
        place: Place::Counts(|sheet, each| {
            for kind in SentKind::all() {
                let labels = [kind.channel().name(), kind.encoding().name()];
                each(&labels, &sheet.bytes[kind.index()]);
            }
        }),
    },
    Family {
        name: "tickcast_gateway_compressed_messages_total",
        help: "Messages that were sent (out) or came (in) compressed, by direction.",
        labels: &["direction"],
        place: Place::Counts(|sheet, each| {
            let both = DIRECTIONS.into_iter().zip(&sheet.compressed);
            both.for_each(|(direction, figures)| each(&[direction], &figures.messages));
        }),
    },
    Family {
        name: "tickcast_gateway_compressed_bytes_total",
        help: "Bytes of the messages in compressed_messages_total, by direction and form: plain \
               before compression, compressed after it.",
        labels: &["direction", "form"],
        place: Place::Counts(|sheet, each| {
            for (direction, figures) in DIRECTIONS.into_iter().zip(&sheet.compressed) {
                each(&[direction, "plain"], &figures.plain);
                each(&[direction, "compressed"], &figures.compressed);
            }
        }),
    },
    Family {
        name: "tickcast_gateway_compressions_total",
        help: "Messages that were compressed, each once for however many clients it went to. Near \
               compressed_messages_total: little is shared, and it costs processor time.",
        labels: &[],
        place: Place::Counts(|sheet, each| each(&[], &sheet.compressions)),
    },
    Family {
        name: "tickcast_gateway_sends_total",
        help: "Sends, each to one connection, by how the kernel was called: alone (send) or \
               together with others (uring). Messages divided by sends is how much one send \
               carries.",
        labels: &["mode"],
        place: Place::Counts(|sheet, each| {
            let sends = SEND_MODES.into_iter().zip(&sheet.sends);
            sends.for_each(|(mode, figure)| each(&[mode.name()], figure));
        }),
    },
    Family {
        name: "tickcast_gateway_flush_mode",
        help: "Shards that send in this mode now; all of them in one mode, unless io_uring has \
               failed on some, which then send one by one.",
        labels: &["mode"],
        place: Place::Levels(|sheet, each| {
            let modes = SEND_MODES.into_iter().zip(&sheet.modes);
            modes.for_each(|(mode, figure)| each(&[mode.name()], figure));
        }),
    },
    Family {
        name: "tickcast_gateway_lagging_connections",
        help: "Clients that owe updates now because their line did not take them: they get fewer, \
               merged ones. A few are slow lines; many at once is this host's network or processor.",
        labels: &[],
        place: Place::Levels(|sheet, each| each(&[], &sheet.lagging)),
    },
    Family {
        name: "tickcast_gateway_lagging_total",
        help: "How often a client has begun to lag.",
        labels: &[],
        place: Place::Counts(|sheet, each| each(&[], &sheet.lagged)),
    },
    Family {
        name: "tickcast_gateway_merged_updates_total",
        help: "Updates that lagging clients did not get for themselves but merged into a later \
               one. Nothing is lost by it; prices of these clients are older.",
        labels: &[],
        place: Place::Counts(|sheet, each| each(&[], &sheet.merged)),
    },
    Family {
        name: "tickcast_gateway_shard_turn_seconds",
        help: "How long turns of a shard take, from looking at what came to the last write. It is \
               what a client waits for its shard; turns get longer under load.",
        labels: &["shard"],
        place: Place::DurationsByShard(|sheet| &sheet.turn),
    },
    Family {
        name: "tickcast_gateway_shard_overruns_total",
        help: "How often a shard fell so far behind the publisher that it lost batches and caught \
               up by diff. Any: it has too many clients or too little processor.",
        labels: &["shard"],
        place: Place::CountByShard(|sheet| &sheet.overruns),
    },
    Family {
        name: "tickcast_gateway_shard_inbox_batches",
        help: "Batches of the publisher that waited for the shard when its latest turn was over; \
               at 256 it is overrun.",
        labels: &["shard"],
        place: Place::LevelByShard(|sheet| &sheet.inbox),
    },
    Family {
        name: REQUESTS,
        help: "Requests by method and code: over HTTP (GET, 200) and in the client protocol \
               (subscribe, ok or the number of the error). Many errors of one kind: a client that \
               is broken.",
        labels: &["method", "code"],
        place: Place::Counts(|sheet, each| {
            sheet.requests().for_each(|(method, code, figure)| each(&[method, &code], figure));
        }),
    },
    Family {
        name: "tickcast_gateway_panics_total",
        help: "Connections closed (4500) because handling them failed. Any is a bug of this \
               service: please report it with the log.",
        labels: &[],
        place: Place::Counts(|sheet, each| each(&[], &sheet.panics)),
    },
    Family {
        name: "tickcast_age_at_write_seconds",
        help: "How old an update was when it was handed to the kernel, since the venue's message \
               was received, by venue; each delivery counts. What lagging clients and those that \
               have just subscribed are owed is not in it. Above half a second users see old prices.",
        labels: &["venue"],
        place: Place::DurationsByVenue(|sheet| &sheet.age_at_write),
    },
    Family {
        name: "tickcast_publish_to_write_seconds",
        help: "The gateway's part of age_at_write: since the publisher had encoded the update. \
               Where both rise the edge is the cause, where only the other does the publisher or \
               a maximum rate is.",
        labels: &["venue"],
        place: Place::DurationsByVenue(|sheet| &sheet.publish_to_write),
    },
];
