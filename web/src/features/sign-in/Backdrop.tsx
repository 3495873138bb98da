/** The background of the sign-in page: a velvet curtain. */
export function Backdrop() {
  const folds = Array.from({ length: 15 }, (_, index) => index);
  return (
    <svg className="backdrop" viewBox="0 0 1500 900" preserveAspectRatio="xMidYMin slice" aria-hidden="true">
      <defs>
        <linearGradient id="fold" x1="0" x2="1" y1="0" y2="0">
          <stop offset="0" stopColor="#2a0609" />
          <stop offset="0.34" stopColor="#8e1c22" />
          <stop offset="0.52" stopColor="#b32b29" />
          <stop offset="0.74" stopColor="#6a1019" />
          <stop offset="1" stopColor="#2a0609" />
        </linearGradient>
        <radialGradient id="spot" cx="0.34" cy="0.5" r="0.62">
          <stop offset="0" stopColor="#ff7a45" stopOpacity="0.42" />
          <stop offset="0.5" stopColor="#f4623a" stopOpacity="0.13" />
          <stop offset="1" stopColor="#f4623a" stopOpacity="0" />
        </radialGradient>
        <linearGradient id="fade" x1="0" x2="0" y1="0" y2="1">
          <stop offset="0" stopColor="#14100e" stopOpacity="0.62" />
          <stop offset="0.3" stopColor="#14100e" stopOpacity="0.08" />
          <stop offset="0.72" stopColor="#14100e" stopOpacity="0.2" />
          <stop offset="1" stopColor="#14100e" />
        </linearGradient>
        <linearGradient id="side" x1="0" x2="1" y1="0" y2="0">
          <stop offset="0.3" stopColor="#14100e" stopOpacity="0" />
          <stop offset="1" stopColor="#14100e" stopOpacity="0.88" />
        </linearGradient>
      </defs>
      {folds.map((fold) => (
        <path key={fold} fill="url(#fold)" d={`M${fold * 100} 0h101c-6 240 8 480 ${(fold % 3) * 5 - 5} 800q-50 ${26 + (fold % 2) * 18} -101 0c8-300-8-540 0-800z`} />
      ))}
      <rect width="1500" height="900" fill="url(#spot)" />
      <rect width="1500" height="900" fill="url(#fade)" />
      <rect width="1500" height="900" fill="url(#side)" />
    </svg>
  );
}
