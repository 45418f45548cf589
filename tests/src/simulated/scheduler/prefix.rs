//! The beginnings of conversations that a loaded model remembers. A prompt is known as far as it agrees with one of them,
//! block by block. Only prompts are remembered: what the model said itself is read again in the next turn. Pure.

use std::collections::VecDeque;

/// The remembered beginnings, the last used first.
#[derive(Debug, Default)]
pub(super) struct PrefixCache {
    conversations: VecDeque<Vec<u64>>,
}

impl PrefixCache {
    /// Reads a prompt and remembers it; gives the number of its first blocks that were known. A conversation that has gone on
    /// replaces what was remembered of it; of more than `limit` the one unused for longest is forgotten.
    pub(super) fn read(&mut self, blocks: &[u64], limit: usize) -> usize {
        let common =
            |known: &Vec<u64>| known.iter().zip(blocks).take_while(|(known, block)| known == block).count();
        let known = self.conversations.iter().map(common).max().unwrap_or(0);
        if !blocks.is_empty() {
            self.conversations.retain(|conversation| common(conversation) < conversation.len());
            self.conversations.push_front(blocks.to_vec());
        }
        self.conversations.truncate(limit);
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_that_goes_on_is_known_up_to_where_it_was() {
        let mut cache = PrefixCache::default();
        assert_eq!(cache.read(&[1, 2], 2), 0);
        assert_eq!(cache.read(&[1, 2, 3], 2), 2);
        assert_eq!(cache.read(&[1, 9], 2), 1);
        assert_eq!(cache.conversations.len(), 2);
    }

    #[test]
    fn the_one_unused_for_longest_is_forgotten() {
        let mut cache = PrefixCache::default();
        for conversation in [[1, 1], [2, 2], [1, 1], [3, 3]] {
            cache.read(&conversation, 2);
        }
        assert_eq!((cache.read(&[2, 2], 2), cache.read(&[3, 3], 2)), (0, 2));
        assert_eq!(cache.read(&[], 0), 0);
        assert!(cache.conversations.is_empty());
    }
}
