"""A study driven: parameters to chapters, chapters to ledger, ledger to book."""
