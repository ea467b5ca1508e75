use super::*;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

/// What is written is there to be read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn on_paused_time<T>(work: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(work())
}

fn address(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 9).into()
}

#[test]
fn equal_traces_have_equal_hashes_and_all_that_happens_counts() {
    let hash = |kind: &str, text: &str, to: u8, payload: &[u8], reader: Option<Reader>| {
        on_paused_time(async || {
            let trace = Trace::new(reader);
            trace.record(kind, format_args!("{text}"));
            trace.packet("send", address(1), address(to), 7, payload);
            assert_eq!(trace.summary().events, 2);
            trace.summary().hash
        })
    };
    let usual = hash("a", "bc", 2, b"x", None);
    assert_eq!(usual, hash("a", "bc", 2, b"x", None));
    for other in [
        hash("ab", "c", 2, b"x", None),
        hash("a", "bc", 3, b"x", None),
        hash("a", "bc", 2, b"y", None),
        hash("a", "bd", 2, b"x", None),
    ] {
        assert_ne!(usual, other);
    }
    let reader = Reader { sink: Box::new(io::sink()), packets: true, only: Only::default() };
    assert_eq!(usual, hash("a", "bc", 2, b"x", Some(reader)), "reading changes nothing");
}

#[test]
fn a_reader_gets_the_lines_it_wants_and_the_latest_are_kept_without_packets() {
    on_paused_time(async || {
        let page = Page::default();
        let reader = Reader { sink: Box::new(page.clone()), packets: true, only: Only::new("send,one") };
        let trace = Trace::new(Some(reader));
        trace.record("event", format_args!("one\nmore"));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        trace.packet("send", address(1), address(2), 1, b"x");
        trace.record("event", format_args!("two"));
        let expected = [
            "     0.000000  -           event            one; more\n",
            "     1.500000  -           send                     10.0.0.1:9 > 10.0.0.2:9             1 a93c5f93\n",
        ];
        assert_eq!(page.text(), expected.concat());
        assert_eq!(trace.last_lines(1), ["     1.500000  -           event            two\n"]);
        assert_eq!(trace.last_lines(9).len(), 2);
        assert_eq!(trace.virtual_time(), Duration::from_millis(1500));
    });
}

#[test]
fn log_lines_name_node_and_actor_and_are_not_hashed() {
    let subscriber = tracing_subscriber::registry().with(LogLines::layer(LevelFilter::INFO));
    let _default = tracing::subscriber::set_default(subscriber);
    on_paused_time(async || {
        let offload = crate::offload::SimOffload::new(crate::random::Seed::new(1), Default::default());
        let scope = Scope::new("storage-1", Arc::new(offload));
        let trace = Trace::new(None);
        trace.take_log_lines();
        let before = trace.summary();
        scope
            .enter(async {
                let _span = tracing::info_span!(target: "dfs_test", "serve", actor = "Heartbeat").entered();
                tracing::warn!(target: "dfs_test::part", chunk = %"1:2", "it is late");
                tracing::debug!(target: "dfs_test::part", "too fine");
                tracing::warn!(target: "others", "not ours");
            })
            .await;
        tracing::info_span!(target: "dfs_test", "actor", name = "NodeWatcher")
            .in_scope(|| tracing::info!(target: "dfs_test::part", "alive"));
        tracing::info!(target: "dfs_test::part", "alone");
        let expected = [
            "storage-1   Heartbeat        warn: it is late chunk=1:2\n",
            "-           NodeWatcher      info: alive\n",
            "-           part             info: alone\n",
        ];
        assert_eq!(trace.last_lines(9).iter().map(|line| &line[15..]).collect::<Vec<_>>(), expected);
        assert_eq!(trace.summary(), before);
    });
}
