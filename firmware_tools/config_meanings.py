"""What each setting is for, one sentence a key: the words of docs/configuration.md."""

from __future__ import annotations

AGENT = {
    "device.device_id": "The camera's name: the CN of its certificate; in every topic and clip id.",
    "device.kind": "`camera` refuses replayed footage and fake parts; a desk may use them.",
    "device.groups": "Groups that a pushed model may be aimed at.",
    "device.hardware": (
        "The tag that a pushed model must be made for; empty: the accelerator's name."
    ),
    "paths.state_dir": "The spool, the models and the boot counter; must survive a reboot.",
    "paths.runtime_dir": "The sockets between the services; the path must be short.",
    "camera.driver": (
        "Where pictures come from. `gstreamer`: a Jetson's CSI camera, or any `pipeline`."
        " `picamera2`: a Raspberry Pi's camera. `replay` plays MP4 files in real time."
    ),
    "camera.footage": (
        "For `replay`: one MP4 file, or a folder of them, played in order, again and again."
    ),
    "camera.number": (
        "Which of several CSI cameras, for `picamera2` and for `gstreamer` without a pipeline."
    ),
    "camera.pipeline": (
        "For `gstreamer`: the pipeline, in the language of `gst-launch-1.0`. One branch ends in"
        " `h264parse config-interval=-1 ! appsink name=h264` (closed GOPs of 1 s, no B-frames), one"
        " in `appsink name=lores` (small pictures for the model; with `identity name=pace` before"
        " its scaler only those needed are scaled). It brings its own encoder. Empty: a Jetson's"
        " CSI camera."
    ),
    "camera.exposure": (
        "`motion` keeps exposures short and the frame rate up, at the price of noise in the dark;"
        " `auto` leaves it to the camera."
    ),
    "camera.width": "Width of the recording in pixels; even.",
    "camera.height": "Height of the recording in pixels; even.",
    "camera.frame_rate_hz": "Frames a second asked of the camera; replayed footage keeps its own.",
    "camera.stream_copy": (
        "`auto` keeps the source's own H.264 where it fits (closed GOPs of 1 s, no B-frames, "
        "the right size); `never` always encodes."
    ),
    "encoder.driver": (
        "What makes H.264. `x264` runs on the CPU. `hardware`: a Jetson's NVENC, a Raspberry Pi's"
        " encoder (a Pi 5 has none); where there is none the camera does"
        " not open."
    ),
    "encoder.bitrate_kbps": "Aimed-at rate; 4000 is about 30 MB a minute.",
    "encoder.preset": "libx264's trade of CPU against size.",
    "encoder.threads": "CPU threads of the encoder.",
    "recorder.pre_roll_s": "Kept in memory, and put before the start press.",
    "recorder.post_roll_s": "Recorded on after the stop press.",
    "recorder.clip_s": "Length of a clip: the unit of labels, upload and receipt.",
    "recorder.session_cap_s": "A longer session is split in two, without a gap.",
    "recorder.label_grace_s": (
        "How long a closing clip waits for its last scores; later ones count as lost coverage."
    ),
    "recorder.writer_queue_s": (
        "Footage held in memory while the card stalls, before a gap is noted."
    ),
    "recorder.require_plan": (
        "Start nothing unless a session plan of the server is in force (see docs/cards.md)."
    ),
    "recorder.least_card_minutes": (
        "With less room on the card the pre-flight says that the camera is not fit; it records."
    ),
    "cards.read": "Look for scenario cards in the model's pictures (see docs/cards.md).",
    "cards.before_start_s": "A card holds for a session that is started within this time.",
    "cards.after_start_s": "A card that is shown so soon after the start counts as well.",
    "tagger.accelerator": (
        "What runs the model: ONNX Runtime, TensorFlow Lite, or TensorFlow Lite with a model "
        "compiled for the Edge TPU. `fake` is for tests."
    ),
    "tagger.providers": (
        "ONNX Runtime's execution providers, in order. One that is missing or takes no operation "
        "is an error, never a silent CPU. The CPU, listed last, runs what the others leave over."
    ),
    "tagger.provider_options": (
        "Options of a provider, as text: `[tagger.provider_options.TensorrtExecutionProvider]`. "
        "One that the installed provider does not have is an error."
    ),
    "tagger.delegate": (
        "A TFLite delegate: the library's name, or its absolute path; none for the CPU, "
        "`libedgetpu.so.1` if nothing else is named for `edgetpu`."
    ),
    "tagger.delegate_options": (
        "Options of the delegate, as text; it refuses those it does not know."
    ),
    "tagger.allow_cpu": (
        "Where provider or delegate is missing or takes nothing, run on the CPU. Status, log and "
        "label sheets then say what ran instead of what."
    ),
    "tagger.threads": "CPU threads of the model.",
    "tagger.bundle": "A model bundle's folder, instead of the active slot under `state_dir`.",
    "tagger.score_in_standby": (
        "Score the pre-roll too. `false` saves power; coverage then says so."
    ),
    "uplink.host": "The broker; must be a name or address in its certificate.",
    "uplink.port": "The broker's TLS port.",
    "uplink.ca_file": "The authority that signed the broker's certificate, PEM.",
    "uplink.cert_file": "The camera's certificate, PEM.",
    "uplink.key_file": "The camera's TLS key, PEM.",
    "uplink.keepalive_s": "How soon a dead connection is noticed.",
    "uplink.part_bytes": (
        "Size of one message of footage; lower it for a broker that caps messages."
    ),
    "uplink.window_cap_bytes": "At most this much is under way unacknowledged.",
    "uplink.bandwidth_cap_kbps": "Never send faster than this; 0: as fast as the link takes.",
    "uplink.status_every_s": "How often the camera says how it is.",
    "network.interfaces": (
        "Send clips over these alone, for example `wlan*`; none given: over any."
    ),
    "network.metered_interfaces": (
        "Interfaces whose traffic costs money, for example `wwan*`; a transfer ends within a second"
        " when the way to the broker turns to one, and goes on later where it was."
    ),
    "network.allow_metered": "Send clips over metered interfaces too.",
    "network.only_when_charging": (
        "Send clips only on external power (charger or dock, as `power.driver` says); not known"
        " counts as no."
    ),
    "network.quiet_hours": (
        "Send no clips between these local times, for example `22:00-06:00`; not kept while the"
        " clock is not trusted."
    ),
    "trust.recipients_file": (
        "age public keys of the collection server, one a line: who can open footage."
    ),
    "trust.receipt_key_file": (
        "The collection server's receipt key (public, PEM): whose word lets a clip be deleted, and"
        " whose orders are obeyed."
    ),
    "trust.custody_key_file": (
        "The camera's custody key (Ed25519, PEM): what signs the footage's origin."
    ),
    "trust.card_key_file": (
        "Who signs scenario cards; none: cards are ignored until an order about keys names one."
    ),
    "models.root_file": (
        "The root of trust of pushed models, from the image; without it none is taken."
    ),
    "models.retry_s": "A failed update is tried again after at most so long.",
    "retention.sent_keep_s": "How long a clip stays on the card after its receipt.",
    "retention.max_age_s": (
        "A clip with a receipt goes when it was closed this long ago, however fresh the receipt; "
        "0: no such bound. A clip without a receipt has no age."
    ),
    "retention.min_free_bytes": (
        "Below this, clips with a receipt are deleted before their time; with none left the card "
        "is full. What else writes to the card needs this room, receipts among it."
    ),
    "retention.spool_budget_bytes": "The spool takes no more of the card than this; 0: no bound.",
    "retention.slack_bytes": (
        "This much room is made at a time, and a full card stays full until it has this much."
    ),
    "retention.overwrite_unsent": (
        "`false`: a full card ends the session, no clip without a receipt is ever deleted. `true`: "
        "plain clips without one are given up, every second one first, then tagged ones; never "
        "marked ones or session records. Each is named in a signed custody line."
    ),
    "power.driver": (
        "What knows the battery. `sysfs` asks the kernel; `none` when nothing does: then nothing "
        "is said of it."
    ),
    "power.supplies_dir": "Where the kernel shows its power supplies.",
    "power.failing_chip": "The label of the chip that has `failing_line`; empty: whichever has it.",
    "power.failing_line": (
        "A GPIO line of a UPS or charger that says that power is about to go: the session is closed"
        " at once; empty: none."
    ),
    "power.failing_active_low": "A low `failing_line` means that power fails.",
    "power.failing_bias": "The chip's own resistor on `failing_line`; `none` leaves it as it is.",
    "power.warn_below_percent": "Below this charge, off mains, the status warns.",
    "power.stop_below_percent": (
        "Below this charge, off mains, the session is closed cleanly and none is started."
    ),
    "power.hysteresis_percent": "So far above a threshold the charge must rise to count as above.",
    "governor.driver": "What measures the board. `sysfs` is the kernel's own; `none`: nothing.",
    "governor.warm_c": "From this many degrees on every second frame is scored.",
    "governor.hot_c": "From this many degrees on none is scored.",
    "governor.hysteresis_c": "How far below it must cool before scoring takes up again.",
    "governor.battery_below_percent": (
        "With less charge, and not on mains, every second frame is scored; 0: never mind."
    ),
    "governor.hysteresis_percent": "How far above it must charge before scoring takes up again.",
    "governor.hold_s": "How long it must stay better before scoring goes up one step.",
    "button.driver": (
        "Where presses come from. `gpiod`: a GPIO line. `evdev`: an input device (gpio-keys, a USB"
        " clicker). `pipe` is for a desk: write `down` and `up` into `<runtime_dir>/button.fifo`,"
        " each with its CLOCK_BOOTTIME ns after it or without."
    ),
    "button.chip": "For `gpiod`: the chip's label; empty: whichever chip has the line.",
    "button.line": "For `gpiod`: the line's name, or with `button.chip` its number.",
    "button.active_low": "For `gpiod`: the button pulls its line down.",
    "button.bias": "For `gpiod`: the chip's own resistor; `none` leaves it as it is.",
    "button.debounce_s": "For `gpiod`: an edge counts when the line has been still for so long.",
    "button.device": "For `evdev`: the device's name, or its path, best under `/dev/input/by-id`.",
    "button.key": "For `evdev`: the code of the key that counts; 0: any key.",
    "button.start": "The gesture that starts a session; it counts from the first press.",
    "button.stop": "The gesture that ends the session; it counts when it is complete.",
    "button.mark": "The gesture that marks the moment of its first edge.",
    "button.mute": "The gesture that will mute the sound; refused while no sound is recorded.",
    "button.pause_s": "Presses with a shorter pause between them belong together.",
    "button.hold_s": "A press this long is a hold; a shorter one, however slow, is a press.",
    "indicator.driver": (
        "What lights the lamps. `gpiod`: GPIO lines. `sysfs`: LEDs of the kernel, and a motor that"
        " is one."
    ),
    "indicator.chip": "For `gpiod`: the chip's label; empty: whichever chip has the lines.",
    "indicator.red": "The red lamp: the name of its line or LED.",
    "indicator.green": "The green lamp: the name of its line or LED.",
    "indicator.motor": "The vibration motor: the name of its line or LED.",
    "indicator.active_low": "For `gpiod`: a low line turns an output on.",
    "indicator.leds_dir": "For `sysfs`: where the kernel shows its LEDs.",
    "supervisor.watchdog_s": (
        "`sightline-agent run` kills and restarts a service that was silent for so long."
    ),
}

COLLECTOR = {
    "collector.name": "The collector's name: the CN of its certificate, and in every receipt.",
    "collector.store_dir": "Where clips, label sheets and the catalogue go.",
    "collector.shared_group": (
        "Collectors with the same word share the load over one `store_dir`, each with a name of "
        "its own; a secret in `store_dir` completes the word."
    ),
    "collector.min_free_bytes": (
        "A clip that would leave less than this on the disk is asked for later."
    ),
    "broker.host": "The broker; must be a name or address in its certificate.",
    "broker.port": "The broker's TLS port.",
    "broker.ca_file": "The authority that signed the broker's certificate, PEM.",
    "broker.cert_file": "The collector's certificate, PEM.",
    "broker.key_file": "The collector's TLS key, PEM.",
    "broker.keepalive_s": "How soon a dead connection is noticed.",
    "keys.age_identity_files": "age private keys that open footage, in the format of `age-keygen`.",
    "keys.receipt_key_file": "What signs receipts and orders (Ed25519, PEM).",
    "keys.devices_dir": (
        "`<device_id>/custody-*.pem`: the custody keys that are believed. The collector adds those"
        " that cameras make."
    ),
    "transfer.window_bytes": "What one camera may have under way.",
    "transfer.window_budget_bytes": (
        "What all cameras together may have under way: at most 0.8 of what the broker queues."
    ),
    "transfer.part_bytes_min": "Smaller parts are refused.",
    "transfer.part_bytes_max": "Larger parts are refused.",
    "transfer.open_clips_per_device": (
        "Transfers of one camera in memory at a time, and on the disk with footage in them; others"
        " are parked, and taken up again when the camera comes back to them."
    ),
    "transfer.kept_clips_per_device": (
        "Transfers of one camera on the disk, most of them with little more than a label sheet; of"
        " more, those that lay longest are dropped and sent again."
    ),
}
