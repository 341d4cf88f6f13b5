//! Bars and titles as text.

use super::*;
use crate::download::DownloadId;
use crate::event::{Event, What};
use proptest::prelude::*;

fn render_line(download: &Download, width: usize, now: Instant) -> String {
    layout(vec![Row::of(download, now)], width).remove(0)
}

fn begin(path: &str, start: Instant) -> Download {
    let mut download = Download::new(DownloadId::new(3), start);
    download.fold(
        &What::Started {
            source: "bafy".to_owned(),
            resumed_from: 0,
        },
        start,
    );
    let resolved = What::Resolved {
        cid: Some("bafy".to_owned()),
        path: Some(path.into()),
        size: Some(1 << 30),
    };
    download.fold(&resolved, start);
    download.fold(
        &What::Provider {
            url: "http://127.0.0.1:8080".to_owned(),
        },
        start,
    );
    download
}

/// 470 of 1024 MiB in 47 s, a tenth of a second apart.
fn half_way(path: &str) -> (Download, Instant) {
    let start = Instant::now();
    let mut download = begin(path, start);
    for step in 1..=470u64 {
        let now = start + Duration::from_millis(step * 100);
        download.fold(
            &What::Progress {
                bytes: step << 20,
                total: None,
                files: None,
                is_proved: true,
            },
            now,
        );
    }
    (download, start + Duration::from_secs(47))
}

#[test]
fn a_line_gives_way_to_a_narrow_terminal() {
    let (download, now) = half_way("/data/a-rather-long-model-name-q4_k_m.gguf");
    let lines: Vec<String> = [120, 80, 60, 40, 16, 3]
        .map(|width| render_line(&download, width, now))
        .into();
    insta::assert_snapshot!(lines.join("\n"), @r"
    a-rather-long-model-name-q4_k_m.gguf  45% ━━━━━━━━━───────────  470 MiB/1 GiB 10.1 MiB/s    55s 127.0.0.1:8080
    a-rather…k_m.gguf  45% ━━━━─────  470 MiB/1 GiB 10.1 MiB/s    55s 127.0.0.1:8080
    a-rather-lo…4_k_m.gguf  45%  470 MiB/1 GiB 10.1 MiB/s    55s
    a-rather-l…_k_m.gguf  45%  470 MiB/1 GiB
    a-rat….gguf  45%
     …%
    ");
}

#[test]
fn a_line_says_what_is_going_on() {
    let start = Instant::now();
    let mut download = begin("/data/model.bin", start);
    let mut lines = vec![render_line(&download, 70, start)];
    let wait = Some(Duration::from_secs(90));
    let trouble = What::Trouble {
        url: "https://gw.example/".to_owned(),
        message: "429".to_owned(),
        wait,
    };
    download.fold(&trouble, start);
    lines.push(render_line(&download, 79, start));
    download.fold(
        &What::Progress {
            bytes: 1 << 30,
            total: None,
            files: None,
            is_proved: true,
        },
        start,
    );
    download.fold(&What::Verifying, start);
    lines.push(render_line(&download, 70, start));
    let mut unknown = Download::new(None, start);
    unknown.source = "ipfs://bafy\u{1b}".to_owned();
    lines.push(render_line(&unknown, 70, start));
    insta::assert_snapshot!(lines.join("\n"), @r"
    model.bin   0%      0 B/1 GiB          -      - 127.0.0.1:8080
    model.bin   0% ──────────      0 B/1 GiB waiting 1m31s for gw.example
    model.bin 100% ━━━━━━━━━━━━━    1 GiB/1 GiB checking
    ipfs://bafy\u{1b}   ?%      0 B          -      -
    ");
}

#[test]
fn a_directory_counts_its_files() {
    let start = Instant::now();
    let mut download = begin("/data/tree", start);
    let progress = What::Progress {
        bytes: 300 << 20,
        total: Some(1 << 30),
        files: Some((7, 120)),
        is_proved: true,
    };
    download.fold(&progress, start);
    let lines = [100, 60].map(|width| render_line(&download, width, start));
    insta::assert_snapshot!(lines.join("\n"), @r"
    tree  29% ━━━────────  300 MiB/1 GiB   7/120 files          -      - 127.0.0.1:8080
    tree  29%  300 MiB/1 GiB   7/120 files          -
    ");
}

#[test]
fn nothing_is_drawn_at_first() {
    let start = Instant::now();
    let mut state = State::default();
    for id in 1..=10 {
        let what = What::Started {
            source: "bafy".to_owned(),
            resumed_from: 0,
        };
        state.fold(
            &Event {
                id: DownloadId::new(id),
                what,
            },
            start,
        );
    }
    let at = |millis, rows| render(&state, 80, rows, start + Duration::from_millis(millis));
    assert!(at(249, 23).is_empty());
    let lines = at(250, 23);
    assert_eq!(lines.len(), MOST_LINES + 2);
    assert_eq!(lines[MOST_LINES + 1], "and 2 more");
    for rows in 1..=12 {
        assert!(at(250, rows).len() <= rows, "{rows}");
    }
    assert_eq!(at(250, 5)[4], "and 7 more");
}

#[test]
fn several_stand_under_their_sum() {
    let start = Instant::now();
    let mut state = State::default();
    let fold = |state: &mut State, id, what, now| {
        let id = DownloadId::new(id);
        state.fold(&Event { id, what }, now);
    };
    for (id, name) in [(1, "weights.gguf"), (2, "模型.bin")] {
        let source = "bafy".to_owned();
        let started = What::Started {
            source,
            resumed_from: 0,
        };
        fold(&mut state, id, started, start);
        let (cid, path) = (None, Some(format!("/data/{name}").into()));
        let size = Some(1 << 30);
        fold(&mut state, id, What::Resolved { cid, path, size }, start);
    }
    let mut now = start;
    for step in 1..=100u64 {
        now = start + Duration::from_millis(step * 100);
        for id in [1, 2] {
            let bytes = (step * id) << 20;
            let progress = What::Progress {
                bytes,
                total: None,
                files: None,
                is_proved: true,
            };
            fold(&mut state, id as i64, progress, now);
        }
    }
    assert_eq!(
        signs(&shown(&state, now)).title,
        "14% of 2 downloads – fetchd"
    );
    let lines = [80, 40].map(|width| render(&state, width, 23, now).join("\n"));
    insta::assert_snapshot!(lines.join("\n\n"), @r"
    2 downloads   14% ━─────────────  300 MiB/2 GiB 30.3 MiB/s    58s
    weights.gguf   9% ━─────────────  100 MiB/1 GiB 10.1 MiB/s  1m32s
    模型.bin      19% ━━────────────  200 MiB/1 GiB 20.2 MiB/s    41s

    2 downloads   14%  300 MiB/2 GiB
    weights.gguf   9%  100 MiB/1 GiB
    模型.bin      19%  200 MiB/1 GiB
    ");
}

#[test]
fn a_title_is_short_and_safe() {
    let long = "a-name-that-is-much-too-long-for-any-title-of-a-window.gguf";
    let (download, _) = half_way(long);
    assert_eq!(
        signs(&[&download]).title,
        "45% a-name-that-is-much-…le-of-a-window.gguf – fetchd"
    );
    let (download, _) = half_way("\u{1b}]2;x\u{7}");
    assert_eq!(signs(&[&download]).title, "45% \\u{1b}]2;x\\u{7} – fetchd");
    let mut unknown = Download::new(DownloadId::new(3), Instant::now());
    unknown.path = Some("model.bin".into());
    assert_eq!(signs(&[&unknown]).title, "model.bin – fetchd");
}

proptest! {
    #[test]
    fn no_line_is_too_wide(path in "[a-z模\u{202e}]{1,90}", width in 0usize..200) {
        let (download, now) = half_way(&path);
        prop_assert!(fit::columns(&render_line(&download, width, now)) <= width);
    }
}
