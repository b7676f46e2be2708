/** What a person is told: what was wrong, and what would be right. */
export class InputError extends Error {}
