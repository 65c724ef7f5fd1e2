/* Unions of run-length texts, and their canonical form: the extension module benchmark._run_texts.
 *
 * The form is described in run_lengths.py. A text becomes intervals of foreground, intervals of several
 * texts of a frame are merged, and the result is written as canonical text. Inputs are borrowed for one
 * call and never written to; every number and position is checked; the GIL is released in between.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PIXELS (INT64_C(1) << 31)
#define MAX_DIGITS 8 /* of one number; 7 hold any run of MAX_PIXELS and its differences */

typedef struct {
    const uint8_t *text; /* NULL: a mask without pixels */
    size_t length;
} borrowed;

/* Foreground: start and end of each stretch, in order, no two touching. */
typedef struct {
    int64_t *edge;
    size_t edges, room;
} intervals;

typedef enum { MADE, EMPTY, SAME, MALFORMED } kind;

/* Where the text of a frame lies among all, or which of the given texts it is. */
typedef struct {
    size_t start, length;
    kind made;
} frame_text;

typedef struct {
    uint8_t *bytes;
    size_t used, room;
} text_buffer;

static int has_room(intervals *list, size_t edges) {
    if (edges <= list->room) return 1;
    if (edges > SIZE_MAX / 2 / sizeof *list->edge) return 0;
    int64_t *more = realloc(list->edge, 2 * edges * sizeof *more);
    if (!more) return 0;
    list->edge = more;
    list->room = 2 * edges;
    return 1;
}

/* Appends a stretch that does not begin before the last one; room is there. */
static void append(intervals *list, int64_t start, int64_t end) {
    if (list->edges && start <= list->edge[list->edges - 1]) {
        if (end > list->edge[list->edges - 1]) list->edge[list->edges - 1] = end;
        return;
    }
    list->edge[list->edges++] = start;
    list->edge[list->edges++] = end;
}

/* Reads a text into a list with room for it; 0 if it is not a mask of that many pixels. */
static int read_text(borrowed source, int64_t pixels, intervals *list) {
    int64_t before[2] = {0, 0}, position = 0;
    size_t at = 0, index = 0;
    list->edges = 0;
    for (; at < source.length; index++) {
        int64_t number = 0;
        unsigned digit = 32;
        for (int place = 0; digit & 32; place++) {
            if (at == source.length || place == MAX_DIGITS) return 0;
            digit = source.text[at++] - 48u;
            if (digit > 63) return 0;
            number |= (int64_t)(digit & 31) << (5 * place);
            if (!(digit & 32) && digit & 16) number -= INT64_C(1) << (5 * (place + 1));
        }
        const int64_t run = index > 2 ? number + before[index & 1] : number;
        if (run < 0 || run > pixels - position) return 0;
        before[index & 1] = run;
        if (index & 1 && run) append(list, position, position + run);
        position += run;
    }
    return index > 0 && position == pixels;
}

/* The union of two lists; `sum` has room for both. */
static void merge(const intervals *a, const intervals *b, intervals *sum) {
    size_t i = 0, j = 0;
    sum->edges = 0;
    while (i < a->edges || j < b->edges) {
        const int first = j >= b->edges || (i < a->edges && a->edge[i] <= b->edge[j]);
        const int64_t *stretch = first ? a->edge + i : b->edge + j;
        append(sum, stretch[0], stretch[1]);
        if (first)
            i += 2;
        else
            j += 2;
    }
}

static void write_number(text_buffer *out, int64_t number) {
    for (;;) {
        const unsigned digit = (unsigned)(number & 31);
        /* Right shifts of negative numbers keep the sign on all compilers that CPython is built with. */
        number >>= 5;
        const int more = digit & 16 ? number != -1 : number != 0;
        out->bytes[out->used++] = (uint8_t)(48 + digit + (more ? 32 : 0));
        if (!more) return;
    }
}

/* The canonical text of a list that is not empty; 0 without memory. */
static int write_text(text_buffer *out, const intervals *list, int64_t pixels) {
    const size_t most = (list->edges + 1) * MAX_DIGITS;
    if (out->room - out->used < most) {
        if (out->room > SIZE_MAX / 4 || most > SIZE_MAX / 4) return 0;
        const size_t room = 2 * out->room + most;
        uint8_t *more = realloc(out->bytes, room);
        if (!more) return 0;
        out->bytes = more;
        out->room = room;
    }
    int64_t before[2] = {0, 0}, position = 0;
    const int ends_early = list->edge[list->edges - 1] < pixels;
    for (size_t i = 0; i < list->edges + (size_t)ends_early; i++) {
        const int64_t next = i < list->edges ? list->edge[i] : pixels, run = next - position;
        write_number(out, i > 2 ? run - before[i & 1] : run);
        before[i & 1] = run;
        position = next;
    }
    return 1;
}

/* One frame: text `frame` of every track; -1 without memory. */
static int join_frame(const borrowed *texts, size_t tracks, size_t frames, size_t frame, int64_t pixels,
                      intervals list[3], text_buffer *out, frame_text *result) {
    intervals *sum = &list[0], *other = &list[1], *spare = &list[2];
    sum->edges = 0;
    result->made = EMPTY;
    for (size_t track = 0; track < tracks; track++) {
        const borrowed source = texts[track * frames + frame];
        if (!source.text) continue;
        /* A text has at most one number per character. */
        if (!has_room(other, source.length + 2) || !has_room(spare, sum->edges + source.length + 4)) return -1;
        if (!read_text(source, pixels, other)) {
            result->made = MALFORMED;
            return 0;
        }
        merge(sum, other, spare);
        intervals *swapped = sum;
        sum = spare;
        spare = swapped;
    }
    if (!sum->edges) return 0;
    result->start = out->used;
    if (!write_text(out, sum, pixels)) return -1;
    result->length = out->used - result->start;
    result->made = MADE;
    if (tracks == 1 && result->length == texts[frame].length &&
        !memcmp(out->bytes + result->start, texts[frame].text, result->length)) {
        result->made = SAME;
        out->used = result->start;
    }
    return 0;
}

static int join_frames(const borrowed *texts, size_t tracks, size_t frames, int64_t pixels, text_buffer *out,
                       frame_text *results) {
    intervals list[3] = {{NULL, 0, 0}, {NULL, 0, 0}, {NULL, 0, 0}};
    int failed = 0;
    for (size_t frame = 0; frame < frames && !failed; frame++)
        failed = join_frame(texts, tracks, frames, frame, pixels, list, out, results + frame);
    for (int i = 0; i < 3; i++) free(list[i].edge);
    return failed;
}

/* All texts, track by track. The tuples keep them alive and cannot change. */
static int borrow(PyObject *tracks, Py_ssize_t count, Py_ssize_t frames, borrowed *texts) {
    for (Py_ssize_t track = 0; track < count; track++) {
        PyObject *own = PyTuple_GetItem(tracks, track);
        if (!own || !PyTuple_Check(own) || PyTuple_Size(own) != frames) {
            PyErr_SetString(PyExc_ValueError, "tracks must be tuples of one length");
            return 0;
        }
        for (Py_ssize_t frame = 0; frame < frames; frame++, texts++) {
            PyObject *item = PyTuple_GetItem(own, frame);
            char *text;
            Py_ssize_t length;
            if (item == Py_None) continue;
            if (!item || PyBytes_AsStringAndSize(item, &text, &length) < 0) return 0;
            texts->text = (const uint8_t *)text;
            texts->length = (size_t)length;
        }
    }
    return 1;
}

static PyObject *frame_object(const frame_text *made, const text_buffer *out, PyObject *given) {
    if (made->made == MADE)
        return PyBytes_FromStringAndSize((const char *)out->bytes + made->start, (Py_ssize_t)made->length);
    PyObject *object = made->made == SAME ? given : Py_None;
    Py_XINCREF(object);
    return object;
}

/* (texts, positions of those that are no masks) */
static PyObject *answer(const frame_text *results, Py_ssize_t frames, const text_buffer *out, PyObject *first) {
    PyObject *texts = PyTuple_New(frames), *malformed = PyList_New(0);
    int good = texts && malformed;
    for (Py_ssize_t frame = 0; good && frame < frames; frame++) {
        PyObject *text = frame_object(results + frame, out, PyTuple_GetItem(first, frame));
        good = text && PyTuple_SetItem(texts, frame, text) == 0;
        if (!good || results[frame].made != MALFORMED) continue;
        PyObject *position = PyLong_FromSsize_t(frame);
        good = position && PyList_Append(malformed, position) == 0;
        Py_XDECREF(position);
    }
    PyObject *result = good ? Py_BuildValue("(OO)", texts, malformed) : NULL;
    Py_XDECREF(texts);
    Py_XDECREF(malformed);
    return result;
}

static PyObject *join(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *tracks;
    long long pixels;
    if (!PyArg_ParseTuple(args, "O!L", &PyTuple_Type, &tracks, &pixels)) return NULL;
    const Py_ssize_t count = PyTuple_Size(tracks);
    PyObject *first = count ? PyTuple_GetItem(tracks, 0) : NULL;
    if (!first || !PyTuple_Check(first) || pixels < 1 || pixels > MAX_PIXELS) {
        PyErr_SetString(PyExc_ValueError, "join needs a tuple of tracks, and 1 to 2^31 pixels");
        return NULL;
    }
    const Py_ssize_t frames = PyTuple_Size(first);
    PyObject *result = NULL;
    borrowed *texts = NULL;
    frame_text *results = NULL;
    text_buffer out = {NULL, 0, 0};
    if (frames < PY_SSIZE_T_MAX / (Py_ssize_t)sizeof *texts / count) {
        texts = calloc((size_t)(frames * count) + 1, sizeof *texts);
        results = calloc((size_t)frames + 1, sizeof *results);
    }
    if (!texts || !results) {
        PyErr_NoMemory();
    } else if (borrow(tracks, count, frames, texts)) {
        int failed;
        Py_BEGIN_ALLOW_THREADS
        failed = join_frames(texts, (size_t)count, (size_t)frames, pixels, &out, results);
        Py_END_ALLOW_THREADS
        result = failed ? PyErr_NoMemory() : answer(results, frames, &out, first);
    }
    free(texts);
    free(results);
    free(out.bytes);
    return result;
}

static PyMethodDef methods[] = {
    {"join", join, METH_VARARGS,
     "join(tracks, pixels)\n--\n\n"
     "Canonical texts of the union of tracks of COCO text or None, frame by frame, and the positions of\n"
     "frames in which a text is not a mask of that many pixels."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_run_texts", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__run_texts(void) { return PyModule_Create(&module); }
