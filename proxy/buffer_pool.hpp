// A worker's free list of equal blocks: heads and bodies borrow one, idle tunnels own none.
#pragma once
#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "proxy/memory_budget.hpp"

namespace exeat::proxy {

/// Not thread-safe. Must outlive its buffers. Every block is charged to `memory`, those in hand as well.
class buffer_pool {
 public:
  buffer_pool(std::size_t block_size, std::shared_ptr<memory_lease> memory, std::size_t kept = 64)
      : block_size_(block_size), kept_(std::max<std::size_t>(kept, 1)), memory_(std::move(memory)) {
    free_.reserve(kept_);
  }
  ~buffer_pool() { memory_->give_back(free_.size() * block_size_); }
  buffer_pool(const buffer_pool&) = delete;
  buffer_pool& operator=(const buffer_pool&) = delete;

  std::size_t block_size() const noexcept { return block_size_; }
  /// Whoever takes a block asks first. True: the next pooled_buffer gets one; false: the memory is used up.
  bool has_one() noexcept {
    if (!free_.empty()) return true;
    if (!memory_->take(block_size_)) return false;
    std::unique_ptr<char[]> block(new (std::nothrow) char[block_size_]);
    if (block) {
      free_.push_back(std::move(block));
      return true;
    }
    memory_->give_back(block_size_);
    return false;
  }

 private:
  friend class pooled_buffer;
  std::unique_ptr<char[]> take() {
    if (!has_one()) throw std::bad_alloc();
    auto block = std::move(free_.back());
    free_.pop_back();
    return block;
  }
  void give_back(std::unique_ptr<char[]> block) noexcept {
    if (free_.size() < kept_) {
      free_.push_back(std::move(block));
    } else {
      block.reset();
      memory_->give_back(block_size_);
    }
  }

  std::size_t block_size_;
  std::size_t kept_;
  std::shared_ptr<memory_lease> memory_;
  std::vector<std::unique_ptr<char[]>> free_;
};

/// Octets in order: filled at the end, consumed at the front, one block, never grown.
class pooled_buffer {
 public:
  explicit pooled_buffer(buffer_pool& pool) : pool_(&pool), block_(pool.take()) {}
  pooled_buffer(const pooled_buffer&) = delete;
  pooled_buffer& operator=(const pooled_buffer&) = delete;
  ~pooled_buffer() { pool_->give_back(std::move(block_)); }

  std::span<char> data() noexcept { return {block_.get() + begin_, end_ - begin_}; }
  std::span<const char> data() const noexcept { return {block_.get() + begin_, end_ - begin_}; }
  std::size_t size() const noexcept { return end_ - begin_; }
  bool empty() const noexcept { return begin_ == end_; }

  /// Room at the end; moves what is held to the front where that gains room. Empty = full.
  std::span<char> room() noexcept {
    if (begin_ == end_) {
      begin_ = end_ = 0;
    } else if (begin_ != 0) {
      compact();
    }
    return {block_.get() + end_, pool_->block_size() - end_};
  }
  void commit(std::size_t count) noexcept { end_ += count; }
  void consume(std::size_t count) noexcept { begin_ += count; }
  void clear() noexcept { begin_ = end_ = 0; }

 private:
  void compact() noexcept {
    std::copy(block_.get() + begin_, block_.get() + end_, block_.get());
    end_ -= begin_;
    begin_ = 0;
  }

  buffer_pool* pool_;
  std::unique_ptr<char[]> block_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace exeat::proxy
