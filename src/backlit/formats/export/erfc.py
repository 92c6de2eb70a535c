"""The complementary error function as one polynomial, for languages that do not have it.

For x >= 0, (1 + 2 x) exp(x^2) erfc(x) is a smooth function of t = (x - 4) / (x + 4) in [-1, 1]. Its
Chebyshev series falls below 2^-56 at degree 24; the polynomial's coefficients shrink likewise, so
that Horner's rule adds two units of the last place. Below 0, erfc(x) = 2 - erfc(-x).
"""

CENTER = 4.0

#: of t^0, t^1, ...: the Chebyshev coefficients from 60-digit arithmetic, as powers of t
COEFFICIENTS = (
    1.2329951186255526,
    -0.1396211168405623,
    0.015379652102619604,
    0.06809705425466908,
    -0.10103906603630056,
    0.0937328349990944,
    -0.06633036581218697,
    0.03716751552655567,
    -0.016197734059799265,
    0.005031970067657489,
    -0.0007577732613730956,
    -0.00019925714661091188,
    0.0001506214900124047,
    -2.4397746422436416e-05,
    -1.1221287012353486e-05,
    5.706604414895734e-06,
    2.919733377963012e-07,
    -8.210939042560568e-07,
    7.746992727017941e-08,
    1.0633855618594884e-07,
    -2.05606492756992e-08,
    -1.234686604382353e-08,
    3.1695881915648173e-09,
    9.311744978232572e-10,
    -2.659599690242689e-10,
)
