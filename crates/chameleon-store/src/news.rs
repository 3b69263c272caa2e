//! What followers are told, merged so that a look that is due is never lost behind a newer head.

use chameleon_model::Stamp;
use futures::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::Notice;

/// Tells any number of followers; they hear of its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct News(watch::Sender<Heard>);

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// Counted, so that a follower sees that there was one since it looked last.
    looks: u64,
    head: Option<Stamp>,
}

impl News {
    /// A commit has led to `head`.
    pub(crate) fn head(&self, head: Stamp) {
        self.0.send_modify(|heard| heard.head = Some(head));
    }

    /// Anything may have happened.
    pub(crate) fn look(&self) {
        self.0.send_modify(|heard| heard.looks += 1);
    }

    /// Hears what is told from now on, and a look at once.
    pub(crate) fn follow(&self) -> impl Stream<Item = Notice> + Send + use<> {
        let mut seen = None;
        WatchStream::new(self.0.subscribe()).map(move |Heard { looks, head }| {
            let new_look = seen.replace(looks) != Some(looks);
            head.filter(|_| !new_look)
                .map_or(Notice::Look, Notice::Head)
        })
    }
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Epoch, Revision, Tag};
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_look_is_not_lost_behind_a_newer_head() {
        let stamp = |revision| Stamp {
            epoch: Epoch(1),
            revision: Revision(revision),
            tag: Tag(revision),
        };
        let news = News::default();
        news.head(stamp(1));
        let mut one = news.follow();
        let mut next = || one.next().now_or_never();
        assert_eq!(next(), Some(Some(Notice::Look)));
        assert_eq!(next(), None);
        news.head(stamp(2));
        news.head(stamp(3));
        assert_eq!(next(), Some(Some(Notice::Head(stamp(3)))));
        news.look();
        news.head(stamp(4));
        assert_eq!(next(), Some(Some(Notice::Look)));
        news.head(stamp(5));
        assert_eq!(next(), Some(Some(Notice::Head(stamp(5)))));
        drop(news);
        assert_eq!(next(), Some(None));
    }
}
