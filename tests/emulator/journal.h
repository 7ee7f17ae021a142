#ifndef JOURNAL_H_
#define JOURNAL_H_

#include <stddef.h>

#include <jansson.h>

/*
 * A write-ahead journal: a file of JSON objects, one a line, each written
 * with a single write(2) before what it says is done.  It survives the end
 * of the program, however sudden; it is not forced to the disk, so it does
 * not promise to survive that of the machine.
 */

struct journal;

/**
 * journal_open(path, apply, cookie, why, whylen):
 * Open or make the file ${path} and call ${apply}(${cookie}, record) for
 * every record in it.  A last line that was not finished is cut off.  Return
 * NULL, and a sentence at ${why} (${whylen} bytes), if the file cannot be
 * used, is used by another process, or holds a record that is none or that
 * ${apply} refused by other than 0.
 */
struct journal *journal_open(const char *, int (*)(void *, const json_t *),
    void *, char *, size_t);

/**
 * journal_append(journal, record):
 * Write ${record}, whose reference is taken.  Return 0, or -1 after logging
 * why; then nothing of it stays in the file.  A NULL ${journal} keeps
 * nothing and returns 0.
 */
int journal_append(struct journal *, json_t *);

/**
 * journal_overgrown(journal):
 * Say whether so much was appended that a rewrite would be worth it.
 */
int journal_overgrown(const struct journal *);

/**
 * journal_rewrite(journal, dump, cookie):
 * Replace the file by what ${dump}(${cookie}, journal) appends to the
 * journal it is given, and return 0; or leave it as it is and return -1
 * after logging why.
 */
int journal_rewrite(struct journal *, int (*)(void *, struct journal *),
    void *);

/**
 * journal_close(journal):
 * Close the file and free ${journal}; NULL is fine.
 */
void journal_close(struct journal *);

#endif /* !JOURNAL_H_ */
