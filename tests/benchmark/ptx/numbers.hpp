// Arithmetic that C++ leaves open or spells otherwise.
//
// Source: NVIDIA, Parallel Thread Execution ISA 8.7, the sections of `shl`, `shf`, `mul`, `div`, `bfe`, `bfi`,
// `lop3`, `prmt`, `bfind`, `brev`, `min`, `max`, `cvt`. Included behind machine.hpp.

template <class T> static T taken(const u8* place) { T value; std::memcpy(&value, place, sizeof value); return value; }
template <class T> static void put(u8* place, T value) { std::memcpy(place, &value, sizeof value); }

template <class To, class From> static inline To bits(From value) {
    static_assert(sizeof(To) == sizeof(From)); To to; std::memcpy(&to, &value, sizeof to); return to;
}
static inline f32 real(u32 pattern) { return bits<f32>(pattern); }
static inline f64 real(u64 pattern) { return bits<f64>(pattern); }
static inline u32 pattern(f32 value) { return value != value ? 0x7fffffffu : bits<u32>(value); }
static inline u64 pattern(f64 value) { return value != value ? 0x7fffffffffffffffull : bits<u64>(value); }
static inline f32 flushed(f32 value) {
    return std::fabs(value) < 1.17549435e-38f ? std::copysign(0.0f, value) : value;
}

template <class T> static inline T shl(T a, u32 by) { return by >= 8 * sizeof(T) ? T(0) : T(a << by); }
template <class T> static inline T shr(T a, u32 by) {
    u32 most = 8 * sizeof(T) - 1;
    if (by <= most) return T(a >> by);
    return T(a < 0 ? -1 : 0);
}
static inline u32 funnel(u32 low, u32 high, u32 by, bool left) {
    u64 both = u64(high) << 32 | low;
    if (left) return by >= 32 ? low : u32(both << by >> 32);
    return by >= 32 ? high : u32(both >> by);
}
static inline u64 mul_hi(u64 a, u64 b) { return u64((unsigned __int128)a * b >> 64); }
static inline s64 mul_hi(s64 a, s64 b) { return s64((__int128)a * b >> 64); }
static inline u32 mul_hi(u32 a, u32 b) { return u32(u64(a) * b >> 32); }
static inline s32 mul_hi(s32 a, s32 b) { return s32(s64(a) * b >> 32); }
static inline u16 mul_hi(u16 a, u16 b) { return u16(u32(a) * b >> 16); }
static inline s16 mul_hi(s16 a, s16 b) { return s16(s32(a) * b >> 16); }
template <class T> static T quotient(Thread& t, u32 line, T a, T b) {
    if (!b) fail(t, DIVIDED_BY_ZERO, line);
    return T(-1) < 0 && b == T(-1) ? T(0) - a : T(a / b);
}
template <class T> static T remainder_(Thread& t, u32 line, T a, T b) {
    if (!b) fail(t, DIVIDED_BY_ZERO, line);
    return T(-1) < 0 && b == T(-1) ? T(0) : T(a % b);
}
template <class T> static inline T field(T value, u32 first, u32 count) {  // bfe: T says the signedness
    constexpr u32 width = 8 * sizeof(T);
    first &= 255; count &= 255;
    if (!count) return 0;
    u32 last = first + count - 1 < width - 1 ? first + count - 1 : width - 1;
    bool sign = T(-1) < 0 && (value >> last & 1);
    T out = 0;
    for (u32 bit = 0; bit < width; ++bit) {
        bool set = bit < count && first + bit < width ? value >> (first + bit) & 1 : sign;
        out = T(u64(out) | u64(set) << bit);
    }
    return out;
}
template <class T> static inline T inserted(T from, T into, u32 first, u32 count) {  // bfi
    first &= 255; count &= 255;
    for (u32 bit = 0; bit < count && first + bit < 8 * sizeof(T); ++bit)
        into = (into & ~(T(1) << (first + bit))) | ((from >> bit & 1) << (first + bit));
    return into;
}
static inline u32 lop3(u32 a, u32 b, u32 c, u32 table) {
    u32 out = 0;
    for (u32 row = 0; row < 8; ++row)
        if (table >> row & 1) out |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
    return out;
}
static inline u32 permuted(u32 a, u32 b, u32 how) {
    u64 bytes = u64(b) << 32 | a;
    u32 out = 0;
    for (u32 place = 0; place < 4; ++place) {
        u32 choice = how >> (4 * place) & 15, byte = u32(bytes >> (8 * (choice & 7))) & 255;
        if (choice & 8) byte = byte & 128 ? 255 : 0;
        out |= byte << (8 * place);
    }
    return out;
}
template <class T> static inline u32 highest(T value) {  // bfind
    if (T(-1) < 0 && value < 0) value = T(~value);
    for (s32 bit = 8 * sizeof(T) - 1; bit >= 0; --bit) if (value >> bit & 1) return u32(bit);
    return ~0u;
}
template <class T> static inline T reversed(T value) {
    T out = 0;
    for (u32 bit = 0; bit < 8 * sizeof(T); ++bit) out = T(out << 1 | (value >> bit & 1));
    return out;
}
template <class F> static inline F smaller(F a, F b) {
    if (a != a) return b;
    if (b != b) return a;
    return a == b ? (std::signbit(a) ? a : b) : a < b ? a : b;
}
template <class F> static inline F larger(F a, F b) {
    if (a != a) return b;
    if (b != b) return a;
    return a == b ? (std::signbit(a) ? b : a) : a > b ? a : b;
}
template <class I, class F> static inline I whole(F value) {  // an integral float to an integer, saturating
    constexpr bool is_signed = I(-1) < 0;
    constexpr I most = is_signed ? I(u64(~I(0)) << (8 * sizeof(I) - 1) ^ ~u64(0)) : I(~I(0));
    constexpr I least = is_signed ? I(~most) : I(0);
    if (value != value) return 0;
    if (value >= std::ldexp(F(1), 8 * sizeof(I) - is_signed)) return most;
    if (is_signed ? value <= -std::ldexp(F(1), 8 * sizeof(I) - 1) : value <= 0) return least;
    return I(value);
}
static inline f32 from_bf16(u16 value) { return real(u32(value) << 16); }
static inline u16 to_bf16(f32 value) {
    if (value != value) return 0x7fff;
    u32 all = bits<u32>(value);
    return u16((all + 0x7fff + (all >> 16 & 1)) >> 16);
}
static inline f32 from_f16(u16 half) {
    u32 exponent = half >> 10 & 31, mantissa = half & 1023;
    f32 size = exponent == 31 ? (mantissa ? NAN : INFINITY)
             : std::ldexp(f32(exponent ? mantissa | 1024 : mantissa), exponent ? s32(exponent) - 25 : -24);
    return half >> 15 ? -size : size;
}
static inline u16 to_f16(f32 value) {
    if (value != value) return 0x7fff;
    u16 sign = std::signbit(value) ? 0x8000 : 0;
    f32 size = std::fabs(value);
    if (size >= 65520.0f) return sign | 0x7c00;
    if (size < 6.103515625e-05f) return sign | u16(std::nearbyint(std::ldexp(size, 24)));
    u32 all = bits<u32>(size);
    all += 0xfff + (all >> 13 & 1);
    return sign | u16((all - (112u << 23)) >> 13);
}
