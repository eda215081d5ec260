/* Sums of per-example products G_n = Σ_t δ_t ⊗ a_t, t over the rows of example n, and of their squares.

   Work goes tile by tile of the [out, in] totals. A tile of G_n is formed in registers, then squared and added to two
   buffers in the first-level cache, so that no G_n is ever written to memory; after the last example the buffers are
   added to the totals, which are read and written once. As in every fast matrix product, both factors are first
   copied into panels as wide as a tile, one row of the panel behind the other.

   Wants the sixteen-lane registers of AVX-512; `usable` says whether the processor has them. */

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <stdint.h>

/* 12 × 32 products fill 24 of the 32 registers: 24 multiply-adds for each 2 loads and 12 broadcasts. */
enum { LANES = 16, ROWS = 12, COLUMNS = 2 * LANES };
/* Floats of packed inputs to work on at a time (1 MB): they stay in the second-level cache for all rows of a weight. */
enum { BLOCK = 1 << 18 };
/* Columns of δ and of a to pack at a time: whole cache lines, and strips enough for all cores. */
enum { DELTA_STRIP = 8 * ROWS, INPUT_STRIP = 2 * COLUMNS };
/* Positions to fetch ahead from the second-level cache. */
enum { AHEAD = 12 };

typedef struct {
    int64_t first, length;
} span;

int usable(void) { return __builtin_cpu_supports("avx512f") != 0; }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }

static __mmask16 first_lanes(int64_t count) { return count >= LANES ? 0xffff : count > 0 ? (1 << count) - 1 : 0; }

/* Columns of inputs to work on at a time: even shares of at most BLOCK floats, if one panel is not more already. */
static int64_t block_width(int64_t in, int64_t depth)
{
    const int64_t panels = ceiling(in, COLUMNS), most = BLOCK / (COLUMNS * depth);
    return ceiling(panels, ceiling(panels, most ? most : 1)) * COLUMNS;
}

/* Floats of work space that `add_products` needs for examples of `depth` rows together. */
int64_t work_size(int64_t out, int64_t in, int64_t depth)
{
    return (block_width(in, depth) + ceiling(out, ROWS) * ROWS) * depth;
}

/* Copy the examples' rows of `width` columns into panels [depth, panel], with zeros behind the last column. */
__attribute__((target("avx512f")))
static void pack(float *to, const float *from, int64_t stride, const span *spans, int64_t examples, int64_t depth,
                 int64_t width, int64_t panel)
{
    for (int64_t n = 0; n < examples; n++) {
        const float *row = from + spans[n].first * stride;
        for (int64_t position = 0; position < spans[n].length; position++, to += panel, row += stride)
            for (int64_t column = 0; column < width; column += panel)
                for (int64_t c = 0; c < panel; c += LANES)
                    _mm512_mask_storeu_ps(to + column * depth + c, first_lanes(panel - c),
                                          _mm512_maskz_loadu_ps(first_lanes(width - column - c), row + column + c));
    }
}

/* Add one example's tile of G and of G² to the buffers [ROWS, COLUMNS]. Not inlined: the compiler would try to keep
   the buffers in registers too, and spill. */
__attribute__((target("avx512f"), noinline))
static void add_example(const float *input, const float *delta, int64_t positions, float *squares, float *sums)
{
    __m512 product[ROWS][2];
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; row++)
        product[row][0] = product[row][1] = _mm512_setzero_ps();
    for (int64_t position = 0; position < positions; position++, input += COLUMNS, delta += ROWS) {
        const __m512 left = _mm512_loadu_ps(input), right = _mm512_loadu_ps(input + LANES);
        _mm_prefetch((const char *)(input + AHEAD * COLUMNS), _MM_HINT_T0);
        _mm_prefetch((const char *)(input + AHEAD * COLUMNS + LANES), _MM_HINT_T0);
        _mm_prefetch((const char *)(delta + AHEAD * ROWS), _MM_HINT_T0);
#pragma GCC unroll 12
        for (int row = 0; row < ROWS; row++) {
            const __m512 factor = _mm512_set1_ps(delta[row]);
            product[row][0] = _mm512_fmadd_ps(factor, left, product[row][0]);
            product[row][1] = _mm512_fmadd_ps(factor, right, product[row][1]);
        }
    }
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; row++)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++, squares += LANES, sums += LANES) {
            const __m512 g = product[row][half];
            _mm512_storeu_ps(squares, _mm512_fmadd_ps(g, g, _mm512_loadu_ps(squares)));
            _mm512_storeu_ps(sums, _mm512_add_ps(g, _mm512_loadu_ps(sums)));
        }
}

__attribute__((target("avx512f")))
static void add_lanes(float *to, const float *from, __mmask16 mask)
{
    _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), _mm512_loadu_ps(from)));
}

/* Add all examples' tiles to `rows` × `columns` entries of the totals. */
__attribute__((target("avx512f")))
static void add_tile(const float *input, const float *delta, const span *spans, int64_t examples,
                     float *squares, float *sums, int64_t stride, int64_t rows, int64_t columns)
{
    _Alignas(64) float tile_squares[ROWS * COLUMNS] = {0}, tile_sums[ROWS * COLUMNS] = {0};
    for (int64_t n = 0; n < examples; n++) {
        add_example(input, delta, spans[n].length, tile_squares, tile_sums);
        input += spans[n].length * COLUMNS, delta += spans[n].length * ROWS;
        if (n < rows) /* fetch the totals while there is time, a row with each example */
            for (int64_t c = 0; c < columns; c += LANES) {
                __builtin_prefetch(squares + n * stride + c, 1);
                __builtin_prefetch(sums + n * stride + c, 1);
            }
    }
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < columns; c += LANES) {
            add_lanes(squares + row * stride + c, tile_squares + row * COLUMNS + c, first_lanes(columns - c));
            add_lanes(sums + row * stride + c, tile_sums + row * COLUMNS + c, first_lanes(columns - c));
        }
}

/* Add to the totals [out, in]; `depth` is the sum of the spans' lengths, a stride the floats from row to row. Each
   entry of a total is added up by one thread in the order of the examples: the bits do not depend on `threads`. */
void add_products(float *squares, float *sums, int64_t out, int64_t in, const float *inputs, int64_t input_stride,
                  const float *deltas, int64_t delta_stride, const span *spans, int64_t examples, int64_t depth,
                  float *work, int threads)
{
    const int64_t width = block_width(in, depth);
    float *packed_inputs = work, *packed_deltas = work + width * depth;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for nowait
        for (int64_t row = 0; row < out; row += DELTA_STRIP)
            pack(packed_deltas + row * depth, deltas + row, delta_stride, spans, examples, depth,
                 least(DELTA_STRIP, out - row), ROWS);
        for (int64_t first = 0; first < in; first += width) {
            const int64_t end = least(first + width, in);
#pragma omp for
            for (int64_t column = first; column < end; column += INPUT_STRIP)
                pack(packed_inputs + (column - first) * depth, inputs + column, input_stride, spans, examples, depth,
                     least(INPUT_STRIP, end - column), COLUMNS);
#pragma omp for schedule(dynamic) /* another program may slow one of the cores */
            for (int64_t row = 0; row < out; row += ROWS)
                for (int64_t column = first; column < end; column += COLUMNS)
                    add_tile(packed_inputs + (column - first) * depth, packed_deltas + row * depth, spans, examples,
                             squares + row * in + column, sums + row * in + column, in, least(ROWS, out - row),
                             least(COLUMNS, in - column));
        }
    }
}

#else

int usable(void) { return 0; }

#endif
