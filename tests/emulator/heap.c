#include <stdint.h>
#include <stdlib.h>

#include "heap.h"

static int
before(const struct task *a, const struct task *b)
{

	if (a->schedule != b->schedule)
		return (a->schedule < b->schedule);
	return (a->serial < b->serial);
}

static void
place(struct heap *heap, size_t i, struct task *task)
{

	heap->tasks[i] = task;
	task->heap_index = i;
}

/*
 * Put task where the hole at i is, or as far up or down from there as its
 * time demands.
 */
static void
settle(struct heap *heap, size_t i, struct task *task)
{
	size_t child;

	while (i > 0 && before(task, heap->tasks[(i - 1) / 2])) {
		place(heap, i, heap->tasks[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	while ((child = 2 * i + 1) < heap->len) {
		if (child + 1 < heap->len &&
		    before(heap->tasks[child + 1], heap->tasks[child]))
			child++;
		if (!before(heap->tasks[child], task))
			break;
		place(heap, i, heap->tasks[child]);
		i = child;
	}
	place(heap, i, task);
}

/**
 * heap_reserve(heap, n):
 * Make room for ${n} tasks, so that heap_push cannot fail.  Return 0 or -1.
 */
int
heap_reserve(struct heap *heap, size_t n)
{
	struct task **tasks;

	if (n <= heap->size)
		return (0);
	if (n < 2 * heap->size)
		n = 2 * heap->size;
	/* They are pointers.  NOLINTNEXTLINE(bugprone-sizeof-expression) */
	if ((tasks = reallocarray(heap->tasks, n, sizeof(*tasks))) == NULL)
		return (-1);
	heap->tasks = tasks;
	heap->size = n;

	return (0);
}

/**
 * heap_push(heap, task):
 * Put ${task} in; heap_reserve has made room.
 */
void
heap_push(struct heap *heap, struct task *task)
{

	settle(heap, heap->len++, task);
}

/**
 * heap_remove(heap, task):
 * Take ${task} out, if it is in.
 */
void
heap_remove(struct heap *heap, struct task *task)
{
	size_t hole = task->heap_index;

	if (hole == SIZE_MAX)
		return;
	task->heap_index = SIZE_MAX;

	/* The last task of the array fills the hole. */
	if (hole != --heap->len)
		settle(heap, hole, heap->tasks[heap->len]);
}

/**
 * heap_top(heap):
 * Return the task that is due first, or NULL.
 */
struct task *
heap_top(const struct heap *heap)
{

	return (heap->len > 0 ? heap->tasks[0] : NULL);
}

/**
 * heap_free(heap):
 * Free what ${heap} holds, not the tasks.
 */
void
heap_free(struct heap *heap)
{

	free(heap->tasks);
	heap->tasks = NULL;
	heap->len = heap->size = 0;
}
