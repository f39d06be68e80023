/** Of everything in this repository, as its package.json says; changed there and here at once. */
export const release = '0.1.0';
