/* Inflates the pixels of a PNG and undoes its row filters: the extension module benchmark._png_rows.
 *
 * Source of the filters: W3C, "Portable Network Graphics (PNG) Specification", section 9.2. Mask images
 * are long stretches of one value, so each filter first looks whether the next eight bytes are such a
 * stretch. Inputs are borrowed for one call and never written to; the GIL is released.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inflate.h"

#define REPEATED UINT64_C(0x0101010101010101)

static uint64_t eight_at(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    return word;
}

static void undo_sub(const uint8_t *in, uint8_t *out, Py_ssize_t width) {
    uint8_t left = 0;
    for (Py_ssize_t x = 0; x < width;) {
        if (width - x >= 8 && eight_at(in + x) == 0) {
            memset(out + x, left, 8);
            x += 8;
            continue;
        }
        left = (uint8_t)(left + in[x]);
        out[x++] = left;
    }
}

static void undo_up(const uint8_t *in, const uint8_t *above, uint8_t *out, Py_ssize_t width) {
    for (Py_ssize_t x = 0; x < width; x++) out[x] = (uint8_t)(in[x] + above[x]);
}

static void undo_average(const uint8_t *in, const uint8_t *above, uint8_t *out, Py_ssize_t width) {
    unsigned left = 0;
    for (Py_ssize_t x = 0; x < width; x++) {
        left = (in[x] + (left + above[x]) / 2) & 255;
        out[x] = (uint8_t)left;
    }
}

static void undo_paeth(const uint8_t *in, const uint8_t *above, uint8_t *out, Py_ssize_t width) {
    int left = 0, corner = 0;
    for (Py_ssize_t x = 0; x < width;) {
        /* Where left, above and corner are all one value, so is the prediction. */
        if (corner == left && width - x >= 8 && eight_at(in + x) == 0 &&
            eight_at(above + x) == (uint64_t)left * REPEATED) {
            memset(out + x, left, 8);
            x += 8;
            continue;
        }
        const int up = above[x];
        const int by_left = up > corner ? up - corner : corner - up;
        const int by_up = left > corner ? left - corner : corner - left;
        const int sum = left + up - 2 * corner, by_corner = sum < 0 ? -sum : sum;
        const int guess = by_left <= by_up && by_left <= by_corner ? left : by_up <= by_corner ? up : corner;
        left = (in[x] + guess) & 255;
        corner = up;
        out[x++] = (uint8_t)left;
    }
}

/* 0, or the filter number that no PNG has. */
static int undo_rows(const uint8_t *raw, uint8_t *out, const uint8_t *zeros, Py_ssize_t height, Py_ssize_t width) {
    const uint8_t *above = zeros;
    for (Py_ssize_t y = 0; y < height; y++, raw += width + 1, above = out, out += width) {
        switch (raw[0]) {
            case 0: memcpy(out, raw + 1, (size_t)width); break;
            case 1: undo_sub(raw + 1, out, width); break;
            case 2: undo_up(raw + 1, above, out, width); break;
            case 3: undo_average(raw + 1, above, out, width); break;
            case 4: undo_paeth(raw + 1, above, out, width); break;
            default: return raw[0];
        }
    }
    return 0;
}

static PyObject *unfilter(PyObject *self, PyObject *args) {
    Py_buffer raw, out;
    Py_ssize_t height, width;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*nnw*", &raw, &height, &width, &out)) return NULL;
    PyObject *result = NULL;
    const int fits = height > 0 && width > 0 && width < PY_SSIZE_T_MAX / height - height &&
                     raw.len == height * (width + 1) && out.len == height * width;
    uint8_t *zeros = fits ? PyMem_Calloc((size_t)width, 1) : NULL;
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "buffers do not have the size of the image");
    } else if (!zeros) {
        PyErr_NoMemory();
    } else {
        int wrong;
        Py_BEGIN_ALLOW_THREADS
        wrong = undo_rows(raw.buf, out.buf, zeros, height, width);
        Py_END_ALLOW_THREADS
        result = PyLong_FromLong(wrong);
    }
    PyMem_Free(zeros);
    PyBuffer_Release(&raw);
    PyBuffer_Release(&out);
    return result;
}

/* Inflated rows of earlier calls' images, kept because fresh memory costs more than what is done with it.
 * Touched with the GIL held only. */
#define MOST_KEPT 4
#define LARGEST_KEPT ((size_t)16 << 20)
typedef struct {
    uint8_t *block;
    size_t size;
} scratch;
static scratch kept[MOST_KEPT];
static int number_kept;

static scratch take_scratch(size_t size) {
    scratch own = {NULL, 0};
    if (number_kept) own = kept[--number_kept];
    if (own.size < size) {
        free(own.block);
        own.block = malloc(size);
        own.size = own.block ? size : 0;
    }
    return own;
}

static void give_back(scratch own) {
    if (own.block && own.size <= LARGEST_KEPT && number_kept < MOST_KEPT)
        kept[number_kept++] = own;
    else
        free(own.block);
}

static PyObject *decode(PyObject *self, PyObject *args) {
    Py_buffer packed, out;
    Py_ssize_t height, width;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*nnw*", &packed, &height, &width, &out)) return NULL;
    PyObject *result = NULL;
    const int fits = height > 0 && width > 0 && width < PY_SSIZE_T_MAX / height - height &&
                     out.len == height * width;
    const size_t size = fits ? (size_t)height * ((size_t)width + 1) : 0;
    scratch rows = {NULL, 0};
    if (fits) rows = take_scratch(size + (size_t)width);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "the buffer does not have the size of the image");
    } else if (!rows.block) {
        PyErr_NoMemory();
    } else {
        int wrong = -1;
        Py_BEGIN_ALLOW_THREADS
        if (inflate_zlib(packed.buf, (size_t)packed.len, rows.block, size)) {
            memset(rows.block + size, 0, (size_t)width);
            wrong = undo_rows(rows.block, out.buf, rows.block + size, height, width);
        }
        Py_END_ALLOW_THREADS
        result = PyLong_FromLong(wrong);
    }
    if (rows.block) give_back(rows);
    PyBuffer_Release(&packed);
    PyBuffer_Release(&out);
    return result;
}

static PyMethodDef methods[] = {
    {"decode", decode, METH_VARARGS,
     "decode(packed, height, width, out)\n--\n\n"
     "Inflate rows and write their pixels. Returns 0, or an unknown filter, or -1 where zlib has to be asked."},
    {"unfilter", unfilter, METH_VARARGS,
     "unfilter(raw, height, width, out): write the pixels of inflated rows; returns 0, or an unknown filter"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_png_rows", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__png_rows(void) { return PyModule_Create(&module); }
