/* The Python side of the counting core: the extension module benchmark.metrics._core (see _core.pyi).
 *
 * Arguments are checked here, borrowed for the time of one call and never written to; the GIL is released
 * while frames are counted. Every call has scratch memory of its own, so calls may run in parallel.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "engine.h"

typedef struct {
    const level *kernel;
    disk_plan plan;
    int32_t height, width;
} job;

static int find_level(const char *name, const level **found) {
    for (const level *const *each = all_levels; *each; each++) {
        if (strcmp((*each)->name, name) == 0 && (*each)->supported()) {
            *found = *each;
            return 1;
        }
    }
    PyErr_Format(PyExc_ValueError, "no level '%s' on this machine", name);
    return 0;
}

static int start_job(job *work, Py_ssize_t height, Py_ssize_t width, int radius, const char *name) {
    if (!find_level(name, &work->kernel)) return 0;
    if (radius < 0 || radius > MAX_RADIUS) {
        PyErr_Format(PyExc_ValueError, "radius %d is not within 0 to %d", radius, MAX_RADIUS);
        return 0;
    }
    if (height < 1 || width < 1 || (int64_t)height > MAX_PIXELS / (int64_t)width) {
        PyErr_SetString(PyExc_ValueError, "frame size out of range");
        return 0;
    }
    work->height = (int32_t)height;
    work->width = (int32_t)width;
    make_plan(&work->plan, radius);
    return 1;
}

/* The buffer of the counts: 6 int64 for each frame, contiguous and writable. */
static int64_t *borrow_counts(PyObject *object, Py_ssize_t frames, Py_buffer *view) {
    if (PyObject_GetBuffer(object, view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) return NULL;
    const int is_int64 = view->format && (!strcmp(view->format, "l") || !strcmp(view->format, "q"));
    if (!is_int64 || view->itemsize != 8 || frames > PY_SSIZE_T_MAX / 48 || view->len != 48 * frames) {
        PyErr_SetString(PyExc_ValueError, "counts must be int64 of shape (frames, 6)");
        PyBuffer_Release(view);
        return NULL;
    }
    return view->buf;
}

/* Scratch memory of earlier calls, kept because fresh memory costs a call of a few frames more than the
 * counting does. Touched with the GIL held only. */
#define MOST_KEPT 8
#define LARGEST_KEPT ((size_t)16 << 20)
static workspace kept[MOST_KEPT];
static int number_kept;

static workspace take_scratch(void) {
    const workspace fresh = {{0}, {0}, {0}, {0}};
    return number_kept ? kept[--number_kept] : fresh;
}

static void give_back_scratch(workspace *scratch) {
    const size_t bytes =
        scratch->text.bytes + scratch->positions.bytes + scratch->lines.bytes + scratch->work.bytes;
    if (number_kept < MOST_KEPT && bytes <= LARGEST_KEPT)
        kept[number_kept++] = *scratch;
    else
        release(scratch);
}

/* None when all frames were counted, else (index of the frame, 0 for the truth or 1 for a prediction). */
static PyObject *outcome(pair_status status, Py_ssize_t frame) {
    if (status == COUNTED) Py_RETURN_NONE;
    if (status == NO_MEMORY) return PyErr_NoMemory();
    return Py_BuildValue("(ni)", frame, status == BAD_PREDICTION ? 1 : 0);
}

/* ------------------------------------------------------------------ text */

/* Texts of a tuple of bytes or None, written to `texts`. The tuple keeps them alive and cannot change. */
static int borrow_texts(PyObject *tuple, Py_ssize_t frames, mask_text *texts) {
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "a track must be a tuple");
        return 0;
    }
    if (PyTuple_Size(tuple) != frames) {
        PyErr_SetString(PyExc_ValueError, "tracks of different length");
        return 0;
    }
    for (Py_ssize_t i = 0; i < frames; i++) {
        PyObject *item = PyTuple_GetItem(tuple, i);
        char *text;
        Py_ssize_t length;
        if (item == Py_None) continue;
        if (!item || PyBytes_AsStringAndSize(item, &text, &length) < 0) return 0;
        texts[i].text = (const uint8_t *)text;
        texts[i].length = (size_t)length;
    }
    return 1;
}

/* Texts of the truth and then of every prediction, one track behind the other. */
static mask_text *borrow_tracks(PyObject *truth, PyObject *predicted, Py_ssize_t frames, Py_ssize_t predictions) {
    const Py_ssize_t most = PY_SSIZE_T_MAX / (Py_ssize_t)sizeof(mask_text);
    if (frames + 1 > most / (predictions + 1)) {
        PyErr_NoMemory();
        return NULL;
    }
    mask_text *texts = calloc((size_t)(frames + 1) * (size_t)(predictions + 1), sizeof *texts);
    if (!texts) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i <= predictions; i++) {
        PyObject *track = i ? PyTuple_GetItem(predicted, i - 1) : truth;
        if (!track || !borrow_texts(track, frames, texts + i * frames)) {
            free(texts);
            return NULL;
        }
    }
    return texts;
}

static pair_status count_frames(const job *work, const mask_text *texts, Py_ssize_t frames,
                                Py_ssize_t predictions, int64_t *counts, workspace *scratch,
                                Py_ssize_t *frame) {
    for (; *frame < frames; ++*frame) {
        const text_group group = {texts[*frame],       texts + frames + *frame, (size_t)predictions,
                                  (size_t)frames,      counts + 6 * *frame,     6 * (size_t)frames};
        const pair_status status =
            work->kernel->count_texts(scratch, &work->plan, work->height, work->width, &group);
        if (status != COUNTED) return status;
    }
    return COUNTED;
}

static PyObject *count_texts(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *truth, *predicted, *counts_object;
    Py_ssize_t height, width;
    int radius;
    const char *name;
    if (!PyArg_ParseTuple(args, "O!O!nniOs", &PyTuple_Type, &truth, &PyTuple_Type, &predicted, &height,
                          &width, &radius, &counts_object, &name))
        return NULL;
    const Py_ssize_t frames = PyTuple_Size(truth), predictions = PyTuple_Size(predicted);
    job work;
    Py_buffer view;
    if (!start_job(&work, height, width, radius, name)) return NULL;
    mask_text *texts = borrow_tracks(truth, predicted, frames, predictions);
    if (!texts) return NULL;
    /* The texts' memory was had, so this product fits. */
    int64_t *counts = borrow_counts(counts_object, frames * predictions, &view);
    PyObject *result = NULL;
    if (counts) {
        workspace scratch = take_scratch();
        pair_status status;
        Py_ssize_t frame = 0;
        Py_BEGIN_ALLOW_THREADS
        status = count_frames(&work, texts, frames, predictions, counts, &scratch, &frame);
        Py_END_ALLOW_THREADS
        give_back_scratch(&scratch);
        result = outcome(status, frame);
        PyBuffer_Release(&view);
    }
    free(texts);
    return result;
}

/* ------------------------------------------------------------------ bytes */

/* A (T, H, W) buffer of one-byte items whose rows are contiguous; other strides are free. */
static int borrow_masks(PyObject *object, Py_buffer *view) {
    if (PyObject_GetBuffer(object, view, PyBUF_STRIDED_RO) < 0) return 0;
    if (view->ndim != 3 || view->itemsize != 1 || (view->shape[2] > 1 && view->strides[2] != 1)) {
        PyErr_SetString(PyExc_ValueError, "masks must be (T, H, W) of one-byte items with contiguous rows");
        PyBuffer_Release(view);
        return 0;
    }
    return 1;
}

static PyObject *count_views(const Py_buffer views[2], int radius, PyObject *counts_object,
                             const char *name) {
    const Py_ssize_t frames = views[0].shape[0];
    if (memcmp(views[0].shape, views[1].shape, 3 * sizeof *views[0].shape) != 0) {
        PyErr_SetString(PyExc_ValueError, "masks of different shape");
        return NULL;
    }
    job work;
    Py_buffer counts_view;
    if (!start_job(&work, views[0].shape[1], views[0].shape[2], radius, name)) return NULL;
    int64_t *counts = borrow_counts(counts_object, frames, &counts_view);
    if (!counts) return NULL;
    workspace scratch = take_scratch();
    pair_status status = COUNTED;
    Py_ssize_t frame = 0;
    Py_BEGIN_ALLOW_THREADS
    for (; frame < frames; frame++) {
        byte_image image[2];
        for (int side = 0; side < 2; side++) {
            image[side].pixels = (const uint8_t *)views[side].buf + frame * views[side].strides[0];
            image[side].row_stride = views[side].strides[1];
        }
        status = work.kernel->count_bytes(&scratch, &work.plan, work.height, work.width, image,
                                          counts + 6 * frame);
        if (status != COUNTED) break;
    }
    Py_END_ALLOW_THREADS
    give_back_scratch(&scratch);
    PyBuffer_Release(&counts_view);
    return outcome(status, frame);
}

static PyObject *count_masks(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[2], *counts_object, *result = NULL;
    Py_buffer views[2];
    int radius;
    const char *name;
    if (!PyArg_ParseTuple(args, "OOiOs", &objects[0], &objects[1], &radius, &counts_object, &name))
        return NULL;
    if (!borrow_masks(objects[0], &views[0])) return NULL;
    if (borrow_masks(objects[1], &views[1])) {
        result = count_views(views, radius, counts_object, name);
        PyBuffer_Release(&views[1]);
    }
    PyBuffer_Release(&views[0]);
    return result;
}

/* ------------------------------------------------------------------ module */

static PyObject *levels(PyObject *self, PyObject *none) {
    (void)self;
    (void)none;
    PyObject *names = PyList_New(0);
    for (const level *const *each = all_levels; names && *each; each++) {
        if (!(*each)->supported()) continue;
        PyObject *name = PyUnicode_FromString((*each)->name);
        if (!name || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    PyObject *result = names ? PyList_AsTuple(names) : NULL;
    Py_XDECREF(names);
    return result;
}

static PyMethodDef methods[] = {
    {"count_texts", count_texts, METH_VARARGS,
     "count_texts(truth, predicted, height, width, radius, counts, level)\n--\n\n"
     "Counts of a tuple of predicted tracks against one true track, written to counts (predictions, frames,\n"
     "6). A track is a tuple of COCO text or None. Returns None, or (frame, side) of the first text that is\n"
     "not a mask of that size (side 0 is the truth, 1 a prediction)."},
    {"count_masks", count_masks, METH_VARARGS,
     "count_masks(truth, predicted, radius, counts, level)\n--\n\n"
     "Counts of (T, H, W) one-byte masks, written to counts."},
    {"levels", levels, METH_NOARGS,
     "levels()\n--\n\nNames of the instruction sets that this machine can run, fastest first."},
    {NULL, NULL, 0, NULL}};

static int execute(PyObject *module) {
    if (PyModule_AddIntConstant(module, "MAX_RADIUS", MAX_RADIUS) < 0) return -1;
    return PyModule_AddIntConstant(module, "MAX_PIXELS", (long)MAX_PIXELS);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "benchmark.metrics._core",
    "Six integers of mask pairs, counted by compiled code; use benchmark.metrics.engines instead.", 0,
    methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
