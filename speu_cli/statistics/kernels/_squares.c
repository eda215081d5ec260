/* Sums of the per-example gradients of a linear layer's weight, and of their squares.

   The gradient of example n is G_n = Σ_t δ_nt ⊗ a_nt. A block of it is formed in registers, squared and added
   there, and never written to memory: that traffic is what short examples cost otherwise.

   Wants the sixteen-lane registers of AVX-512; `usable` says whether the processor has them. */

enum { LANES = 16, ROWS = 8, COLUMNS = 2 * LANES };

#if defined(__x86_64__) && defined(__GNUC__)

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));

int usable(void) { return __builtin_cpu_supports("avx512f") != 0; }

/* One block of ROWS × COLUMNS weights: inputs [n·t, COLUMNS], deltas [n·t, ROWS], sums [ROWS, COLUMNS]. */
__attribute__((target("avx512f,fma")))
static void sum_block(const float *input, const float *delta, long examples, long positions,
                      float *squares, float *sums)
{
    lanes total_of_squares[ROWS][2] = {0}, total[ROWS][2] = {0};
    for (long example = 0; example < examples; example++) {
        lanes product[ROWS][2] = {0};
        for (long position = 0; position < positions; position++, input += COLUMNS, delta += ROWS) {
            lanes left = *(const lanes *)input, right = *(const lanes *)(input + LANES);
#pragma GCC unroll 8
            for (int row = 0; row < ROWS; row++) {
                product[row][0] += delta[row] * left;
                product[row][1] += delta[row] * right;
            }
        }
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++)
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                total_of_squares[row][half] += product[row][half] * product[row][half];
                total[row][half] += product[row][half];
            }
    }
    __builtin_memcpy(squares, total_of_squares, sizeof total_of_squares);
    __builtin_memcpy(sums, total, sizeof total);
}

/* Add to the totals [out, in]; inputs and deltas come in blocks: [in/COLUMNS, n·t, COLUMNS], [out/ROWS, n·t, ROWS],
   both with zeros where the last block goes past the end. */
void add_squares(const float *inputs, const float *deltas, double *fisher, double *gradient,
                 long examples, long positions, long in, long out)
{
    const long depth = examples * positions;
    for (long column = 0; column < in; column += COLUMNS)
#pragma omp parallel for schedule(static)
        for (long row = 0; row < out; row += ROWS) {
            float squares[ROWS][COLUMNS], sums[ROWS][COLUMNS];
            sum_block(inputs + column * depth, deltas + row * depth, examples, positions, *squares, *sums);
            for (long r = 0; r < ROWS && row + r < out; r++)
                for (long c = 0; c < COLUMNS && column + c < in; c++) {
                    fisher[(row + r) * in + column + c] += squares[r][c];
                    gradient[(row + r) * in + column + c] += sums[r][c];
                }
        }
}

#else

int usable(void) { return 0; }

#endif
